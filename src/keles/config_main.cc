// `keles config`: configuration files: their defaults, and what is wrong with one.
#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/flags.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "machinery/config_file.h"
#include "scheduler/config.h"
#include "server/admission/config_file.h"

namespace keles {
namespace {

struct Component {
  const char* name;
  ConfigKind kind;
  // What is to be checked beyond the description; null for nothing.
  Status (*check)(const std::string& path) = nullptr;
};

Status check_scheduler(const std::string& path) {
  return scheduler::read_scheduler_config(path).status();
}

Status check_admission(const std::string& path) {
  TRY_ASSIGN(text, read_file(path));
  admission::Config config;
  admission::WebhookKubeconfigs webhooks;
  return admission::parse_config(path, std::move(text), &config, &webhooks);
}

const std::vector<Component>& components() {
  static const std::vector<Component> all = {
      {"kubelet", {"kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"}},
      {"kube-proxy", {"kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"}},
      {"kube-scheduler",
       {"kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"},
       check_scheduler},
      {"audit", {"audit.k8s.io/v1", "Policy"}},
      {"encryption", {"apiserver.config.k8s.io/v1", "EncryptionConfiguration"}},
      {"authentication", {"apiserver.config.k8s.io/v1", "AuthenticationConfiguration"}},
      {"authorization", {"apiserver.config.k8s.io/v1", "AuthorizationConfiguration"}},
      {"admission", {"apiserver.config.k8s.io/v1", "AdmissionConfiguration"}, check_admission},
      {"resource-quota", {"apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"}},
      {"event-rate-limit", {"eventratelimit.admission.k8s.io/v1alpha1", "Configuration"}},
      {"pod-toleration-restriction",
       {"podtolerationrestriction.admission.k8s.io/v1alpha1", "Configuration"}},
      {"pod-security", {"pod-security.admission.config.k8s.io/v1", "PodSecurityConfiguration"}},
  };
  return all;
}

std::string names() {
  std::string out;
  for (const Component& c : components()) out += (out.empty() ? "" : ", ") + std::string(c.name);
  return out;
}

const Component* find_component(const std::string& name) {
  for (const Component& c : components()) {
    if (name == c.name) return &c;
  }
  return nullptr;
}

Status carry_out(const std::string& component, const std::vector<std::string>& rest) {
  const bool print = rest.size() == 1 && rest[0] == "print-defaults";
  if (!print && !(rest.size() == 2 && rest[0] == "check")) {
    return Status::bad_request("want print-defaults, or check FILE");
  }
  const Component* c = find_component(component);
  if (!c) {
    return Status::bad_request("--component: \"" + component + "\": want one of " + names());
  }
  if (print) {
    TRY_ASSIGN(text, default_config(c->kind));
    std::fputs(text.c_str(), stdout);
    return {};
  }
  TRY_ASSIGN(file, ConfigFile::read(rest[1], c->kind));
  if (c->check) TRY(c->check(rest[1]));
  for (const std::string& w : file.warnings()) std::printf("warning: %s\n", w.c_str());
  const bool vowel = std::string_view("AEIO").find(c->kind.kind[0]) != std::string_view::npos;
  std::printf("%s: a%s %s that can be read\n", rest[1].c_str(), vowel ? "n" : "",
              std::string(c->kind.kind).c_str());
  return {};
}

}  // namespace

int config_main(const std::vector<std::string>& args) {
  std::string component;
  Flags flags(
      "Configuration files of components.\n\nUsage:\n"
      "  keles config print-defaults --component NAME\n"
      "      Prints a file of which nothing is set, with its defaults.\n"
      "  keles config check FILE --component NAME\n"
      "      Says what is wrong with a file, by line and field, and what of it nothing acts on.\n");
  flags.add("component", &component, "Whose file: " + names() + ".");
  return run_command(&flags, args, [&component](const std::vector<std::string>& rest) {
    return carry_out(component, rest);
  });
}

}  // namespace keles
