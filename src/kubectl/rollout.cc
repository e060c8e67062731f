// rollout status, history, undo, restart, pause, resume.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>

#include "base/encoding.h"
#include "kubectl/describe.h"
#include "kubectl/tabwriter.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/labels.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

constexpr char kRevision[] = "deployment.kubernetes.io/revision";
constexpr char kChangeCause[] = "kubernetes.io/change-cause";

std::string num(const Value& v) { return std::to_string(v.as_int()); }

int64_t parse_int(std::string_view s) {
  int64_t n = 0;
  std::from_chars(s.data(), s.data() + s.size(), n);
  return n;
}

struct Progress {
  std::string text;
  bool complete = false;
};

// --- status
// ---------------------------------------------------------------------------------------

Result<Progress> deployment_progress(const Value& d, int64_t revision) {
  std::string name(d["metadata"]["name"].as_string());
  const Value& status = d["status"];
  if (revision > 0) {
    int64_t now = parse_int(d["metadata"]["annotations"][kRevision].as_string());
    if (now != revision) {
      return failure("desired revision (" + std::to_string(revision) +
                     ") is different from the running revision (" + std::to_string(now) + ")");
    }
  }
  if (d["metadata"]["generation"].as_int() > status["observedGeneration"].as_int()) {
    return Progress{"Waiting for deployment spec update to be observed...\n", false};
  }
  for (const Value& c : status["conditions"].items()) {
    if (c["type"].as_string() == "Progressing" &&
        c["reason"].as_string() == "ProgressDeadlineExceeded") {
      return failure("deployment " + quoted(name) + " exceeded its progress deadline");
    }
  }
  std::string waiting = "Waiting for deployment " + quoted(name) + " rollout to finish: ";
  int64_t wanted = d["spec"]["replicas"].as_int(), updated = status["updatedReplicas"].as_int();
  int64_t all = status["replicas"].as_int(), available = status["availableReplicas"].as_int();
  if (updated < wanted) {
    return Progress{waiting + std::to_string(updated) + " out of " + std::to_string(wanted) +
                    " new replicas have been updated...\n"};
  }
  if (all > updated) {
    return Progress{waiting + std::to_string(all - updated) +
                    " old replicas are pending termination...\n"};
  }
  if (available < updated) {
    return Progress{waiting + std::to_string(available) + " of " + std::to_string(updated) +
                    " updated replicas are available...\n"};
  }
  return Progress{"deployment " + quoted(name) + " successfully rolled out\n", true};
}

Result<Progress> daemonset_progress(const Value& d) {
  if (d["spec"]["updateStrategy"]["type"].as_string() != "RollingUpdate") {
    return failure("rollout status is only available for RollingUpdate strategy type");
  }
  const Value& status = d["status"];
  if (d["metadata"]["generation"].as_int() > status["observedGeneration"].as_int()) {
    return Progress{"Waiting for daemon set spec update to be observed...\n"};
  }
  std::string name = quoted(d["metadata"]["name"].as_string());
  std::string waiting = "Waiting for daemon set " + name + " rollout to finish: ";
  const Value &wanted = status["desiredNumberScheduled"],
              &updated = status["updatedNumberScheduled"], &available = status["numberAvailable"];
  if (updated.as_int() < wanted.as_int()) {
    return Progress{waiting + num(updated) + " out of " + num(wanted) +
                    " new pods have been updated...\n"};
  }
  if (available.as_int() < wanted.as_int()) {
    return Progress{waiting + num(available) + " of " + num(wanted) +
                    " updated pods are available...\n"};
  }
  return Progress{"daemon set " + name + " successfully rolled out\n", true};
}

Result<Progress> statefulset_progress(const Value& d) {
  const Value& strategy = d["spec"]["updateStrategy"];
  const Value& status = d["status"];
  if (strategy["type"].as_string() != "RollingUpdate") {
    return failure("rollout status is only available for RollingUpdate strategy type");
  }
  int64_t seen = status["observedGeneration"].as_int();
  if (seen == 0 || d["metadata"]["generation"].as_int() > seen) {
    return Progress{"Waiting for statefulset spec update to be observed...\n"};
  }
  int64_t wanted = d["spec"]["replicas"].as_int(), ready = status["readyReplicas"].as_int();
  int64_t updated = status["updatedReplicas"].as_int();
  if (ready < wanted) {
    return Progress{"Waiting for " + std::to_string(wanted - ready) + " pods to be ready...\n"};
  }
  if (strategy["rollingUpdate"].is_map()) {
    const Value& partition = strategy["rollingUpdate"]["partition"];
    if (partition.is_int() && updated < wanted - partition.as_int()) {
      return Progress{"Waiting for partitioned roll out to finish: " + std::to_string(updated) +
                      " out of " + std::to_string(wanted - partition.as_int()) +
                      " new pods have been updated...\n"};
    }
    return Progress{"partitioned roll out complete: " + std::to_string(updated) +
                        " new pods have been updated...\n",
                    true};
  }
  std::string update(status["updateRevision"].as_string());
  if (update != status["currentRevision"].as_string()) {
    return Progress{"waiting for statefulset rolling update to complete " +
                    std::to_string(updated) + " pods at revision " + update + "...\n"};
  }
  return Progress{"statefulset rolling update complete " + num(status["currentReplicas"]) +
                      " pods at revision " + update + "...\n",
                  true};
}

Result<Progress> progress_of(const Found& f, const Value& object, int64_t revision) {
  const std::string& kind = f.resource->kind;
  if (f.resource->group == "apps" && kind == "Deployment") {
    return deployment_progress(object, revision);
  }
  if (f.resource->group == "apps" && kind == "DaemonSet") return daemonset_progress(object);
  if (f.resource->group == "apps" && kind == "StatefulSet") return statefulset_progress(object);
  return failure("no status viewer has been implemented for " + kind +
                 (f.resource->group.empty() ? "" : "." + f.resource->group));
}

Status follow(Session& session, const Found& f, int64_t revision, bool watch, TimePoint end) {
  std::string said;
  for (;;) {
    Result<Document> now = session.call(Call("GET", f.path()));
    if (now.status().is(Reason::kNotFound) && !said.empty()) {
      return failure("object has been deleted");
    }
    if (!now.ok()) return now.status();
    TRY_ASSIGN(progress, progress_of(f, now->root, revision));
    if (progress.text != said) {
      print(progress.text);
      std::fflush(stdout);
      said = progress.text;
    }
    if (progress.complete || !watch) return Status();
    if (session.loop().now() >= end) return failure("timed out waiting for the condition");
    session.sleep(100ms);
  }
}

// --- what all of them share
// -----------------------------------------------------------------------

struct Common {
  Query q;
  void add_to(Flags& flags) {
    q.files.add_to(flags, "identifying the resource to get from a server.");
    flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
    q.types_alone = true;
  }
  Result<std::vector<Found>> find(Invocation& in, std::vector<Status>* errors) {
    if (in.args.empty() && q.files.files.empty()) {
      return failure("required resource not specified");
    }
    q.args = in.args;
    TRY_ASSIGN(session, in.session());
    TRY_ASSIGN(found, find_objects(*session, q, errors));
    if (found.empty() && errors->empty()) {
      print_error("No resources found in " + session->ns() + " namespace.\n");
    }
    return std::move(found);
  }
};

// --- history
// --------------------------------------------------------------------------------------

bool owned_by(const Value& object, const Value& owner) {
  for (const Value& r : object["metadata"]["ownerReferences"].items()) {
    if (r["controller"].as_bool() && r["uid"].equals(owner["metadata"]["uid"])) return true;
  }
  return false;
}

// Revision -> the ReplicaSet or ControllerRevision that holds it.
Result<std::map<int64_t, Document>> history_of(Session& session, const Found& f) {
  bool deployment = f.resource->kind == "Deployment";
  bool others = f.resource->kind == "DaemonSet" || f.resource->kind == "StatefulSet";
  if (f.resource->group != "apps" || (!deployment && !others)) {
    return failure("no history viewer has been implemented for \"" + f.resource->kind +
                   (f.resource->group.empty() ? "" : "." + f.resource->group) + "\"");
  }
  Query q;
  q.args = {deployment ? "replicasets.v1.apps" : "controllerrevisions.v1.apps"};
  TRY_ASSIGN(selector, Selector::from_label_selector(f.object.root["spec"]["selector"]));
  q.label_selector = selector.to_string();
  q.types_alone = true;
  TRY_ASSIGN(mapper, session.mapper());
  TRY_ASSIGN(resource, mapper->find(q.args[0]));
  Target t;
  t.resource = resource;
  t.ns = f.ns;
  TRY_ASSIGN(pages, fetch(session, q, t));
  std::map<int64_t, Document> out;
  for (const Document& page : pages) {
    for (const Value& item : page.root["items"].items()) {
      if (!owned_by(item, f.object.root)) continue;
      int64_t revision = deployment
                             ? parse_int(item["metadata"]["annotations"][kRevision].as_string())
                             : item["revision"].as_int();
      Document d;
      d.root = deep_copy(d.arena, item);
      out[revision] = std::move(d);
    }
  }
  return out;
}

// The pod template of a revision.
const Value& template_of(const Value& revision) {
  return revision["data"].is_map() ? revision["data"]["spec"]["template"]
                                   : revision["spec"]["template"];
}

// A revision as an object: the ReplicaSet, or what the DaemonSet or StatefulSet was.
Result<Document> object_of(const Found& f, const Document& revision) {
  if (f.resource->kind != "Deployment") {
    return apply_strategic_patch(find_kind(f.resource->api_version(), f.resource->kind)->type,
                                 f.object.root, revision.root["data"]);
  }
  Document d = new_object("apps/v1", "ReplicaSet", "");
  for (const Member& m : revision.root.members()) {
    d.root.set(d.arena, d.arena.copy(m.key()), deep_copy(d.arena, m.value));
  }
  return d;
}

Status print_history(Session& session, const Found& f, int64_t revision, ObjectPrinter& printer) {
  TRY_ASSIGN(history, history_of(session, f));
  if (revision > 0 && !history.contains(revision)) {
    return failure("unable to find the specified revision");
  }
  for (const auto& [number, object] : history) {
    if (revision > 0 && number != revision) continue;
    TRY_ASSIGN(shown, object_of(f, object));
    TRY_ASSIGN(text, printer.print(shown.root));
    print(text);
  }
  return Status();
}

Status show_history(Session& session, const Found& f, int64_t revision) {
  TRY_ASSIGN(history, history_of(session, f));
  std::string out = f.display() + " ";
  if (history.empty()) {
    print(out + "\nNo rollout history found.\n");
    return Status();
  }
  if (revision > 0) {
    auto it = history.find(revision);
    if (it == history.end()) return failure("unable to find the specified revision");
    Document d;
    d.root = deep_copy(d.arena, template_of(it->second.root));
    const Value& cause = it->second.root["metadata"]["annotations"][kChangeCause];
    if (!cause.as_string().empty()) {
      Value& annotations = at(d, "metadata.annotations");
      annotations.set(d.arena, kChangeCause, deep_copy(d.arena, cause));
    }
    Description text;
    describe_pod_template(d.root, text);
    print(out + "with revision #" + std::to_string(revision) + "\n" + text.take() + "\n");
    return Status();
  }
  std::string rows = "REVISION\tCHANGE-CAUSE\n";
  for (const auto& [number, object] : history) {
    std::string_view cause = object.root["metadata"]["annotations"][kChangeCause].as_string();
    rows += std::to_string(number) + "\t" + std::string(cause.empty() ? "<none>" : cause) + "\n";
  }
  print(out + "\n" + align(rows, {0, 2}) + "\n");
  return Status();
}

// --- undo
// -----------------------------------------------------------------------------------------

Status undo_deployment(Session& session, Writer& writer, const Found& f, const Value& revision,
                       int64_t to) {
  const Value& live = f.object.root;
  if (live["spec"]["paused"].as_bool()) {
    return failure(
        "you cannot rollback a paused deployment; resume it first with 'kubectl rollout "
        "resume' and try again");
  }
  Document wanted;
  wanted.root = deep_copy(wanted.arena, template_of(revision));
  if (Value* labels = at(wanted, "metadata").find("labels")) labels->erase("pod-template-hash");
  if (wanted.root.equals(live["spec"]["template"])) {
    return writer.report(live, "skipped rollback (current template already matches revision " +
                                   std::to_string(to) + ")");
  }
  // The whole template, and the annotations that the revision had; those of the rollout itself
  // stay.
  static constexpr std::string_view kOwn[] = {kLastApplied,
                                              kRevision,
                                              "deployment.kubernetes.io/revision-history",
                                              "deployment.kubernetes.io/desired-replicas",
                                              "deployment.kubernetes.io/max-replicas",
                                              "deprecated.deployment.rollback.to"};
  Document annotations;
  annotations.root = Value::map();
  auto own = [](std::string_view key) {
    return std::find(std::begin(kOwn), std::end(kOwn), key) != std::end(kOwn);
  };
  for (const Member& m : live["metadata"]["annotations"].members()) {
    if (own(m.key())) annotations.root.set(annotations.arena, m.key(), m.value);
  }
  for (const Member& m : revision["metadata"]["annotations"].members()) {
    if (!own(m.key())) annotations.root.set(annotations.arena, m.key(), m.value);
  }
  Document patch;
  patch.root = Value::list();
  auto add = [&patch](std::string_view path, const Value& value) {
    Value& op = patch.root.append(patch.arena, Value::map());
    op.set(patch.arena, "op", Value::string("replace"));
    op.set(patch.arena, "path", Value::string(path));
    op.set(patch.arena, "value", value);
  };
  add("/spec/template", wanted.root);
  add("/metadata/annotations", annotations.root);
  if (writer.client_only()) return writer.report(live, "rolled back");
  Result<Document> made =
      writer.patch(session, *f.resource, f.ns, f.name, PatchType::kJson, to_json(patch.root));
  if (!made.ok()) {
    return failure("failed restoring revision " + std::to_string(to) + ": " +
                   made.status().message());
  }
  return writer.report(made->root, "rolled back");
}

Status undo_revision(Session& session, Writer& writer, const Found& f, const Value& revision,
                     int64_t to) {
  Result<Document> would =
      apply_strategic_patch(find_kind(f.resource->api_version(), f.resource->kind)->type,
                            f.object.root, revision["data"]);
  if (would.ok() && would->root.equals(f.object.root)) {
    return writer.report(
        f.object.root,
        "skipped rollback (current template already matches revision " + std::to_string(to) + ")");
  }
  if (writer.client_only()) return writer.report(f.object.root, "rolled back");
  Result<Document> made = writer.patch(session, *f.resource, f.ns, f.name,
                                       PatchType::kStrategicMerge, to_json(revision["data"]));
  if (!made.ok()) {
    return failure("failed restoring revision " + std::to_string(to) + ": " +
                   made.status().message());
  }
  return writer.report(made->root, "rolled back");
}

Status undo_one(Session& session, Writer& writer, const Found& f, int64_t to) {
  TRY_ASSIGN(history, history_of(session, f));
  if (to == 0) {
    if (history.size() < 2) {
      if (f.resource->kind != "Deployment") return failure("no last revision to roll back to");
      return failure("no rollout history found for deployment " + quoted(f.name));
    }
    to = std::prev(history.end(), 2)->first;
  }
  auto it = history.find(to);
  if (it == history.end()) {
    return failure("unable to find specified revision " + std::to_string(to) + " in history");
  }
  const Value& revision = it->second.root;
  if (f.resource->kind == "Deployment") return undo_deployment(session, writer, f, revision, to);
  return undo_revision(session, writer, f, revision, to);
}

// --- pause, resume, restart: a patch each
// ---------------------------------------------------------

struct Nudge {
  const char* done;
  const char* manager;
  // The patch's text, or why there is none ("is already paused").
  Result<std::string> (*patch)(const Found& f, WallTime now);
};

Status check_revision(int64_t revision) {
  if (revision >= 0) return Status();
  return failure("revision must be a positive integer: " + std::to_string(revision));
}

// Parses the words, looks at the flags, then does `one` for each object that they name.
Status each_rollout(Invocation& in, Common& c, const std::function<Status()>& look_at_flags,
                    const std::function<Status(Session&, const Found&)>& one) {
  TRY(in.parse());
  TRY(look_at_flags());
  std::vector<Status> errors;
  TRY_ASSIGN(found, c.find(in, &errors));
  TRY_ASSIGN(session, in.session());
  for (const Found& f : found) {
    Status s = one(*session, f);
    if (!s.ok()) errors.push_back(s);
  }
  return combine(std::move(errors));
}

Status nudge_one(Session& session, Writer& writer, const Found& f, const Nudge& n) {
  TRY_ASSIGN(body, n.patch(f, session.loop().wall_now()));
  Result<Document> made = f.object.clone();
  if (!writer.client_only()) {
    made = writer.patch(session, *f.resource, f.ns, f.name, PatchType::kStrategicMerge, body);
  }
  if (!made.ok()) return failure("failed to patch: " + made.status().message());
  return writer.report(made->root, n.done);
}

Status nudge(Invocation& in, const Nudge& n) {
  Common c;
  Writer writer(n.manager);
  c.add_to(in.flags);
  writer.add_to(in.flags);
  return each_rollout(
      in, c, [&] { return writer.prepare(); },
      [&](Session& session, const Found& f) { return nudge_one(session, writer, f, n); });
}

Result<std::string> set_paused(const Found& f, bool paused) {
  if (f.resource->group != "apps" || f.resource->kind != "Deployment") {
    return failure("error: " + f.resource->group_resource() + " " + quoted(f.name) +
                   (paused ? " pausing" : " resuming") + " is not supported");
  }
  if (f.object.root["spec"]["paused"].as_bool() == paused) {
    return failure("error: " + f.resource->group_resource() + " " + quoted(f.name) +
                   (paused ? " is already paused" : " is not paused"));
  }
  return std::string(paused ? "{\"spec\":{\"paused\":true}}" : "{\"spec\":{\"paused\":null}}");
}

Result<std::string> restart_patch(const Found& f, WallTime now) {
  const std::string& kind = f.resource->kind;
  bool known = kind == "Deployment" || kind == "DaemonSet" || kind == "StatefulSet";
  if (f.resource->group != "apps" || !known) {
    return failure("error: " + f.resource->group_resource() + " " + quoted(f.name) +
                   " restarting is not supported");
  }
  if (f.object.root["spec"]["paused"].as_bool()) {
    return failure("error: " + f.resource->group_resource() + " " + quoted(f.name) +
                   " can't restart paused deployment (run rollout resume first)");
  }
  return "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/"
         "restartedAt\":\"" +
         format_time(now) + "\"}}}}}";
}

}  // namespace

Status rollout_status(Invocation& in) {
  Common c;
  bool watch = true;
  int64_t revision = 0;
  Duration timeout{0};
  c.add_to(in.flags);
  in.flags.add("watch", &watch, "Watch the status of the rollout until it's done.", 'w');
  in.flags.add("revision", &revision, "Pin to a specific revision for showing its status.");
  in.flags.add("timeout", &timeout,
               "The length of time to wait before ending watch, zero means never.");
  std::optional<TimePoint> end;  // of all of them together
  return each_rollout(
      in, c, [&] { return check_revision(revision); },
      [&](Session& session, const Found& f) {
        if (!end) end = timeout.count() > 0 ? session.loop().now() + timeout : TimePoint::max();
        return follow(session, f, revision, watch, *end);
      });
}

Status rollout_history(Invocation& in) {
  Common c;
  int64_t revision = 0;
  OutputFlags output;
  std::optional<ObjectPrinter> printer;
  c.add_to(in.flags);
  output.add_to(in.flags);
  in.flags.add("revision", &revision,
               "See the details, including podTemplate of the revision specified");
  return each_rollout(
      in, c,
      [&]() -> Status {
        TRY(check_revision(revision));
        TRY_ASSIGN(made, ObjectPrinter::make(output, false));
        printer = std::move(made);
        return Status();
      },
      [&](Session& session, const Found& f) {
        return printer ? print_history(session, f, revision, *printer)
                       : show_history(session, f, revision);
      });
}

Status rollout_undo(Invocation& in) {
  Common c;
  int64_t to = 0;
  Writer writer("kubectl-rollout");
  c.add_to(in.flags);
  in.flags.add("to-revision", &to, "The revision to rollback to. Default to 0 (last revision).");
  writer.add_to(in.flags);
  return each_rollout(
      in, c, [&] { return writer.prepare(); },
      [&](Session& session, const Found& f) { return undo_one(session, writer, f, to); });
}

Status rollout_pause(Invocation& in) {
  return nudge(in, {"paused", "kubectl-rollout",
                    [](const Found& f, WallTime) { return set_paused(f, true); }});
}
Status rollout_resume(Invocation& in) {
  return nudge(in, {"resumed", "kubectl-rollout",
                    [](const Found& f, WallTime) { return set_paused(f, false); }});
}
Status rollout_restart(Invocation& in) {
  return nudge(in, {"restarted", "kubectl-rollout", restart_patch});
}

}  // namespace keles::kubectl
