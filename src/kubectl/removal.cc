#include "kubectl/removal.h"

#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {

void Removal::add_to(Flags& flags) {
  flags.add("cascade", &cascade,
            "Must be \"background\", \"orphan\", or \"foreground\". Selects the deletion "
            "cascading strategy for the dependents.");
  flags.set_bare_value("cascade", "background");
  flags.add("grace-period", &grace,
            "Period of time in seconds given to the resource to terminate gracefully.");
  flags.add("force", &force,
            "If true, immediately remove resources from API and bypass graceful deletion.");
  flags.add("timeout", &timeout,
            "The length of time to wait before giving up on a delete, zero means as long as "
            "the resource takes.");
  flags.add("wait", &wait, "If true, wait for resources to be gone before returning.");
}

Status Removal::check() {
  if (cascade == "true" || cascade == "false") {
    const std::string now = cascade == "true" ? "background" : "orphan";
    print_error("warning: --cascade=" + cascade +
                " is deprecated (boolean value) and can be replaced with --cascade=" + now + ".\n");
    cascade = now;
  }
  if (cascade != "background" && cascade != "orphan" && cascade != "foreground") {
    return failure("invalid cascade value (" + cascade +
                   "). Must be \"background\", \"foreground\", or \"orphan\"");
  }
  return Status();
}

Result<std::string> Removal::remove(Session& session, const Resource& resource,
                                    const std::string& ns, const std::string& name,
                                    bool server_dry_run) const {
  Document options;
  put(options, "kind", "DeleteOptions");
  put(options, "apiVersion", "v1");
  if (grace >= 0) put(options, "gracePeriodSeconds", grace);
  std::string policy = cascade;
  policy[0] = static_cast<char>(policy[0] - 32);
  put(options, "propagationPolicy", policy);
  if (server_dry_run) at(options, "dryRun").append(options.arena, Value::string("All"));
  Call c("DELETE", resource.path(ns, name));
  c.content_type = "application/json";
  c.body = to_json(options.root);
  TRY_ASSIGN(answer, session.call(std::move(c)));
  const Value& root = answer.root;
  return std::string(root["kind"].as_string() == "Status" ? root["details"]["uid"].as_string()
                                                          : root["metadata"]["uid"].as_string());
}

Status Removal::await_gone(Session& session, const Resource& resource, const std::string& ns,
                           const std::string& name, const std::string& uid, Duration limit) const {
  const TimePoint end = limit.count() > 0 ? session.loop().now() + limit : TimePoint::max();
  for (;;) {
    Result<Document> r = session.call(Call("GET", resource.path(ns, name)));
    if (r.status().is(Reason::kNotFound)) return Status();
    if (!r.ok()) return r.status();
    if (!uid.empty() && r->root["metadata"]["uid"].as_string() != uid) return Status();
    if (session.loop().now() >= end) {
      return failure("timed out waiting for the condition on " + resource.plural + "/" + name);
    }
    session.sleep(100ms);
  }
}

}  // namespace keles::kubectl
