// Probes, lifecycle hooks and restart rules of containers. See pod_validation.h.
#include <algorithm>

#include "server/registry/checks.h"
#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

void check_port(FieldErrors& e, const FieldPath& p, const Value& port) {
  if (port.is_string()) {
    field::invalid_each(e, p, port.as_string(), check_port_name(port.as_string()));
  } else {
    for (auto& m : check_port_number(port.as_int())) {
      // Go's int, not an int32 or int64: shown as JSON, which is the same text.
      field::invalid(e, p, port.as_int(), m);
    }
  }
}

void check_http(FieldErrors& e, const FieldPath& p, const core::HTTPGetAction& http) {
  if (http.path().empty()) field::required(e, p["path"]);
  check_port(e, p["port"], http.port());
  check_known(e, p["scheme"], http.scheme(), {"HTTP", "HTTPS"});
  for (core::HTTPHeader header : http.http_headers()) {
    field::invalid_each(e, p["httpHeaders"], header.name(), check_http_header_name(header.name()));
  }
}

void check_sleep(FieldErrors& e, const FieldPath& p, const Value& sleep,
                 const core::PodSpec& spec) {
  if (!spec.has_termination_grace_period_seconds()) return;
  const int64_t seconds = sleep["seconds"].as_int(),
                grace = spec.termination_grace_period_seconds();
  if (seconds >= 0 && seconds <= grace) return;
  field::invalid(e, p, seconds,
                 "must be non-negative and less than terminationGracePeriodSeconds (" +
                     std::to_string(grace) + ")");
}

// A probe's or a hook's way to ask: one of the kinds that it has.
void check_handler(FieldErrors& e, const FieldPath& p, const Value& handler,
                   const core::PodSpec& spec) {
  bool found = false;
  for (std::string_view name : {"exec", "httpGet", "tcpSocket", "grpc", "sleep"}) {
    const Value& h = handler[name];
    if (h.is_null()) continue;
    const FieldPath at = p[name];
    if (found) {
      field::forbidden(e, at, "may not specify more than 1 handler type");
      continue;
    }
    found = true;
    if (name == "exec") {
      if (h["command"].empty()) field::required(e, at["command"]);
    } else if (name == "httpGet") {
      check_http(e, at, core::HTTPGetAction(h));
    } else if (name == "sleep") {
      check_sleep(e, at, h, spec);
    } else {
      check_port(e, at["port"], h["port"]);
    }
  }
  if (!found) field::required(e, p, "must specify a handler type");
}

void check_probe(FieldErrors& e, const FieldPath& p, const core::Probe& probe,
                 const core::PodSpec& spec) {
  check_handler(e, p, probe.value(), spec);
  for (std::string_view f : {"initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                             "successThreshold", "failureThreshold"}) {
    described(e, p, probe, f);
  }
  if (probe.has_termination_grace_period_seconds() &&
      probe.termination_grace_period_seconds() <= 0) {
    field::invalid(e, p["terminationGracePeriodSeconds"], probe.termination_grace_period_seconds(),
                   "must be greater than 0");
  }
}

void check_one_success(FieldErrors& e, const FieldPath& p, const core::Probe& probe) {
  if (probe.success_threshold() == 1) return;
  field::invalid(e, p["successThreshold"], probe.success_threshold(), "must be 1");
}

constexpr size_t kMostRules = 20, kMostExitCodes = 255;

void check_rule(FieldErrors& e, const FieldPath& p, const core::ContainerRestartRule& rule) {
  check_known(e, p["action"], rule.action(), {"Restart", "RestartAllContainers"});
  if (!rule.has_exit_codes()) {
    field::required(e, p["exitCodes"], "must be specified");
    return;
  }
  const FieldPath at = p["exitCodes"];
  check_known(e, at["operator"], rule.exit_codes().operator_(), {"In", "NotIn"});
  const size_t n = rule.exit_codes().values().size();
  if (n > kMostExitCodes) field::too_many(e, at["values"], n, kMostExitCodes);
}

}  // namespace

void validate_probes(FieldErrors& e, const FieldPath& p, const core::Container& c,
                     const core::PodSpec& spec) {
  if (c.has_liveness_probe()) {
    check_probe(e, p["livenessProbe"], c.liveness_probe(), spec);
    check_one_success(e, p["livenessProbe"], c.liveness_probe());
  }
  if (c.has_readiness_probe()) {
    const core::Probe probe = c.readiness_probe();
    check_probe(e, p["readinessProbe"], probe, spec);
    if (probe.has_termination_grace_period_seconds()) {
      field::invalid(e, p["readinessProbe"]["terminationGracePeriodSeconds"],
                     probe.termination_grace_period_seconds(),
                     "must not be set for readinessProbes");
    }
  }
  if (c.has_startup_probe()) {
    check_probe(e, p["startupProbe"], c.startup_probe(), spec);
    check_one_success(e, p["startupProbe"], c.startup_probe());
  }
}

namespace {

// The names of signals that a container may be stopped with, in the order of their texts.
const std::vector<std::string_view>& stop_signals(bool windows) {
  static const std::vector<std::string_view> kWindows{"SIGKILL", "SIGTERM"};
  static const std::vector<std::string> kTexts = [] {
    std::vector<std::string> out{
        "SIGABRT",   "SIGALRM",   "SIGBUS",  "SIGCHLD", "SIGCLD",   "SIGCONT",
        "SIGFPE",    "SIGHUP",    "SIGILL",  "SIGINT",  "SIGIO",    "SIGIOT",
        "SIGKILL",   "SIGPIPE",   "SIGPOLL", "SIGPROF", "SIGPWR",   "SIGQUIT",
        "SIGSEGV",   "SIGSTKFLT", "SIGSTOP", "SIGSYS",  "SIGTERM",  "SIGTRAP",
        "SIGTSTP",   "SIGTTIN",   "SIGTTOU", "SIGURG",  "SIGUSR1",  "SIGUSR2",
        "SIGVTALRM", "SIGWINCH",  "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMAX"};
    for (int i = 1; i <= 15; ++i) out.push_back("SIGRTMIN+" + std::to_string(i));
    for (int i = 1; i <= 14; ++i) out.push_back("SIGRTMAX-" + std::to_string(i));
    std::sort(out.begin(), out.end());
    return out;
  }();
  static const std::vector<std::string_view> kLinux(kTexts.begin(), kTexts.end());
  return windows ? kWindows : kLinux;
}

}  // namespace

void validate_lifecycle(FieldErrors& e, const FieldPath& p, const core::Lifecycle& lifecycle,
                        const core::PodSpec& spec) {
  if (lifecycle.has_stop_signal() && !spec.has_os()) {
    field::forbidden(e, p["stopSignal"], "may not be set for containers with empty `spec.os.name`");
  } else if (lifecycle.has_stop_signal()) {
    const auto& known = stop_signals(spec.os().name() == "windows");
    if (std::find(known.begin(), known.end(), lifecycle.stop_signal()) == known.end())
      field::not_supported(e, p["stopSignal"], lifecycle.stop_signal(), known);
  }
  for (std::string_view hook : {"postStart", "preStop"}) {
    const Value& h = lifecycle.value()[hook];
    if (!h.is_null()) check_handler(e, p[hook], h, spec);
  }
}

void validate_restart_rules(FieldErrors& e, const FieldPath& p, const core::Container& c) {
  const size_t n = c.restart_policy_rules().size();
  if (!c.has_restart_policy()) {
    if (n == 0) return;
    field::required(e, p["restartPolicy"],
                    "must specify restartPolicy when restart rules are used");
  } else {
    check_known(e, p["restartPolicy"], c.restart_policy(), {"Always", "Never", "OnFailure"});
  }
  if (n > kMostRules) field::too_many(e, p["restartPolicyRules"], n, kMostRules);
  size_t i = 0;
  for (core::ContainerRestartRule rule : c.restart_policy_rules()) {
    check_rule(e, p["restartPolicyRules"][i++], rule);
  }
}

}  // namespace keles::registry
