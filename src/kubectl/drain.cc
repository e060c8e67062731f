// cordon, uncordon, drain.
#include <algorithm>
#include <cstdio>

#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

Result<std::vector<Found>> nodes_of(Session& session, Query& q, const Args& args,
                                    std::vector<Status>* errors) {
  q.args = {"nodes"};
  for (const std::string& a : args) {
    q.args.push_back(a.starts_with("node/") || a.starts_with("nodes/") ? a.substr(a.find('/') + 1)
                                                                       : a);
  }
  TRY_ASSIGN(found, find_objects(session, q, errors));
  return std::move(found);
}

Status set_unschedulable(Session& session, Writer& writer, const Found& node, bool wanted) {
  std::string word = wanted ? "cordoned" : "uncordoned";
  if (node.object.root["spec"]["unschedulable"].as_bool() == wanted) {
    return writer.report(node.object.root, "already " + word);
  }
  if (!writer.client_only()) {
    std::string body =
        std::string("{\"spec\":{\"unschedulable\":") + (wanted ? "true" : "null") + "}}";
    Result<Document> made =
        writer.patch(session, *node.resource, "", node.name, PatchType::kStrategicMerge, body);
    if (!made.ok()) {
      return failure("unable to " + std::string(wanted ? "cordon" : "uncordon") + " node \"" +
                     node.name + "\": " + made.status().message());
    }
  }
  return writer.report(node.object.root, word);
}

Status schedulability(Invocation& in, bool wanted) {
  Query q;
  Writer writer("kubectl-cordon");
  in.flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
  writer.add_to(in.flags);
  TRY(in.parse());
  if (in.args.empty() && q.label_selector.empty()) {
    return in.usage("USAGE: " + std::string(in.command().name) + " NODE [flags]");
  }
  if (!in.args.empty() && !q.label_selector.empty()) {
    return in.usage("error: cannot specify both a node name and a --selector option");
  }
  TRY(writer.prepare());
  TRY_ASSIGN(session, in.session());
  std::vector<Status> errors;
  TRY_ASSIGN(nodes, nodes_of(*session, q, in.args, &errors));
  for (const Found& n : nodes) {
    Status s = set_unschedulable(*session, writer, n, wanted);
    if (!s.ok()) errors.push_back(s);
  }
  return combine(std::move(errors));
}

struct DrainFlags {
  Query query;
  std::string pod_selector;
  bool force = false, ignore_daemonsets = false, delete_emptydir_data = false;
  bool disable_eviction = false;
  int64_t grace = -1, skip_deleted_since = 0;  // seconds
  Duration timeout{0};

  void add_to(Flags& flags) {
    flags.add("selector", &query.label_selector, "Selector (label query) to filter on", 'l');
    flags.add("pod-selector", &pod_selector, "Label selector to filter pods on the node");
    flags.add("force", &force, "Continue even if there are pods that do not declare a controller.");
    flags.add("ignore-daemonsets", &ignore_daemonsets, "Ignore DaemonSet-managed pods.");
    flags.add("delete-emptydir-data", &delete_emptydir_data,
              "Continue even if there are pods using emptyDir (local data that will be deleted "
              "when the node is drained).");
    flags.add("disable-eviction", &disable_eviction,
              "Force drain to use delete, even if eviction is supported.");
    flags.add("grace-period", &grace,
              "Period of time in seconds given to each pod to terminate gracefully.");
    flags.add("timeout", &timeout,
              "The length of time to wait before giving up, zero means infinite");
    flags.add(
        "skip-wait-for-delete-timeout", &skip_deleted_since,
        "If pod DeletionTimestamp older than N seconds, skip waiting for the pod. Seconds must "
        "be greater than 0 to skip.");
    flags.add("chunk-size", &query.chunk,
              "Return large lists in chunks rather than all at once. 0 to disable.");
  }
};

std::string controller_kind(const Value& pod) {
  for (const Value& r : pod["metadata"]["ownerReferences"].items()) {
    if (r["controller"].as_bool()) return std::string(r["kind"].as_string());
  }
  return "";
}

bool uses_empty_dir(const Value& pod) {
  for (const Value& v : pod["spec"]["volumes"].items()) {
    if (v["emptyDir"].is_map()) return true;
  }
  return false;
}

// Pods by the word that says why they are spoken of.
struct Reasons {
  std::vector<std::pair<std::string, std::vector<std::string>>> all;
  void add(const std::string& why, const std::string& pod) {
    auto it = std::find_if(all.begin(), all.end(), [&](const auto& r) { return r.first == why; });
    if (it == all.end()) it = all.insert(all.end(), {why, {}});
    it->second.push_back(pod);
  }
  static std::string names(const std::vector<std::string>& pods) {
    std::string out;
    for (const std::string& p : pods) out += (out.empty() ? "" : ", ") + p;
    return out;
  }
};

class Drainer {
 public:
  Drainer(Session& session, Writer& writer, const DrainFlags& f, const Resource& pods)
      : session_(session), writer_(writer), f_(f), pods_(pods) {
    end_ = f.timeout.count() > 0 ? session.loop().now() + f.timeout : TimePoint::max();
  }

  Status drain(const Found& node) {
    TRY_ASSIGN(pods, pods_to_remove(node.name));
    for (const Value* p : pods) TRY(evict(*p));
    if (!writer_.dry()) {
      for (const Value* p : pods) TRY(await_gone(*p));
    }
    return writer_.report(node.object.root, "drained");
  }

 private:
  static std::string name_of(const Value& p) {
    return std::string(p["metadata"]["name"].as_string());
  }
  static std::string ns_of(const Value& p) {
    return std::string(p["metadata"]["namespace"].as_string());
  }

  // Whose deletion was asked for so long ago that nobody waits for it any more.
  bool abandoned(const Value& p) const {
    const Value& deleted = p["metadata"]["deletionTimestamp"];
    if (f_.skip_deleted_since <= 0 || deleted.is_null()) return false;
    Result<WallTime> since = parse_time(deleted.as_string());
    return since.ok() &&
           session_.loop().wall_now() - *since > std::chrono::seconds(f_.skip_deleted_since);
  }

  Result<std::vector<const Value*>> pods_to_remove(const std::string& node) {
    Query q;
    q.field_selector = "spec.nodeName=" + node;
    q.label_selector = f_.pod_selector;
    q.chunk = f_.query.chunk;
    Target t;
    t.resource = &pods_;
    TRY_ASSIGN(pages, fetch(session_, q, t));
    pages_ = std::move(pages);
    std::vector<const Value*> out;
    Reasons fatal, warnings;
    for (const Document& page : pages_) {
      for (const Value& p : page.root["items"].items()) {
        if (wanted(p, &fatal, &warnings)) out.push_back(&p);
      }
    }
    if (!fatal.all.empty()) {
      std::string why;
      for (const auto& [reason, pods] : fatal.all) {
        why +=
            (why.empty() ? "" : ", ") + ("cannot delete " + reason + ": ") + Reasons::names(pods);
      }
      bool several = fatal.all.size() > 1;
      return failure("unable to drain node \"" + node + "\" due to error: " +
                     (several ? "[" + why + "]" : why) + ", continuing command...");
    }
    if (!warnings.all.empty()) {
      std::string text;
      for (const auto& [reason, pods] : warnings.all) {
        text += (text.empty() ? "" : "; ") + reason + ": " + Reasons::names(pods);
      }
      print_error("Warning: " + text + "\n");
    }
    return out;
  }

  bool wanted(const Value& p, Reasons* fatal, Reasons* warnings) const {
    std::string id = ns_of(p) + "/" + name_of(p), kind = controller_kind(p);
    if (abandoned(p)) return false;
    std::string_view phase = p["status"]["phase"].as_string();
    bool over = phase == "Succeeded" || phase == "Failed";
    if (p["metadata"]["annotations"].find("kubernetes.io/config.mirror")) return false;
    if (kind == "DaemonSet" && !over) {
      if (!f_.ignore_daemonsets) {
        fatal->add("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)", id);
      } else {
        warnings->add("ignoring DaemonSet-managed Pods", id);
      }
      return false;
    }
    if (!over && uses_empty_dir(p)) {
      if (!f_.delete_emptydir_data) {
        fatal->add("Pods with local storage (use --delete-emptydir-data to override)", id);
        return false;
      }
    }
    if (!over && kind.empty()) {
      if (!f_.force) {
        fatal->add("Pods that declare no controller (use --force to override)", id);
        return false;
      }
      warnings->add("deleting Pods that declare no controller", id);
    }
    return true;
  }

  Status evict(const Value& p) {
    std::string id = ns_of(p) + "/" + name_of(p);
    print(std::string(f_.disable_eviction ? "deleting pod " : "evicting pod ") + id +
          (!writer_.dry()          ? "\n"
           : writer_.client_only() ? " (dry run)\n"
                                   : " (server dry run)\n"));
    std::fflush(stdout);
    if (writer_.client_only()) return Status();
    Document body;
    if (f_.disable_eviction) {
      put(body, "kind", "DeleteOptions");
      put(body, "apiVersion", "v1");
      if (f_.grace >= 0) put(body, "gracePeriodSeconds", f_.grace);
    } else {
      body = new_object("policy/v1", "Eviction", name_of(p), ns_of(p));
      at(body, "deleteOptions") = Value::map();
      if (f_.grace >= 0) put(body, "deleteOptions.gracePeriodSeconds", f_.grace);
    }
    std::string options = f_.disable_eviction ? "" : "deleteOptions.";
    if (writer_.dry()) at(body, options + "dryRun").append(body.arena, Value::string("All"));
    for (;;) {
      Call c(f_.disable_eviction ? "DELETE" : "POST",
             pods_.path(ns_of(p), name_of(p), f_.disable_eviction ? "" : "eviction"));
      if (writer_.dry()) c.query = "dryRun=All";
      c.content_type = "application/json";
      c.body = to_json(body.root);
      Result<Document> r = session_.call(std::move(c));
      if (r.ok() || r.status().is(Reason::kNotFound)) return Status();
      std::string which = "error when evicting pods/\"" + name_of(p) + "\" -n \"" + ns_of(p) + "\"";
      if (!r.status().is(Reason::kTooManyRequests)) {
        return failure(which + ": " + r.status().message());
      }
      if (session_.loop().now() >= end_) {
        return failure(which + ": global timeout reached: " +
                       std::to_string(f_.timeout.count() / 1'000'000'000) + "s");
      }
      print_error(which + " (will retry after 5s): " + r.status().message() + "\n");
      session_.sleep(5s);
    }
  }

  Status await_gone(const Value& p) {
    for (;;) {
      Result<Document> now = session_.call(Call("GET", pods_.path(ns_of(p), name_of(p))));
      bool gone = now.status().is(Reason::kNotFound) ||
                  (now.ok() && !now->root["metadata"]["uid"].equals(p["metadata"]["uid"]));
      if (gone) {
        print("pod/" + name_of(p) + (f_.disable_eviction ? " deleted\n" : " evicted\n"));
        std::fflush(stdout);
        return Status();
      }
      if (!now.ok()) return now.status();
      if (abandoned(now->root)) {
        print("pod \"" + name_of(p) + "\" has DeletionTimestamp older than " +
              std::to_string(f_.skip_deleted_since) + " seconds, skipping\n");
        return Status();
      }
      if (session_.loop().now() >= end_) {
        return failure("error when waiting for pod \"" + name_of(p) + "\" in namespace \"" +
                       ns_of(p) + "\" to terminate: global timeout reached");
      }
      session_.sleep(200ms);
    }
  }

  Session& session_;
  Writer& writer_;
  const DrainFlags& f_;
  const Resource& pods_;
  std::vector<Document> pages_;
  TimePoint end_;
};

}  // namespace

Status cordon(Invocation& in) { return schedulability(in, true); }
Status uncordon(Invocation& in) { return schedulability(in, false); }

Status drain(Invocation& in) {
  DrainFlags f;
  Writer writer("kubectl-drain");
  f.add_to(in.flags);
  writer.add_to(in.flags);
  TRY(in.parse());
  if (in.args.empty() && f.query.label_selector.empty())
    return in.usage("USAGE: drain NODE [flags]");
  if (!in.args.empty() && !f.query.label_selector.empty()) {
    return in.usage("error: cannot specify both a node name and a --selector option");
  }
  TRY(writer.prepare());
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(pods, mapper->find("pods"));
  std::vector<Status> errors;
  TRY_ASSIGN(nodes, nodes_of(*session, f.query, in.args, &errors));
  for (const Found& n : nodes) {
    Status s = set_unschedulable(*session, writer, n, true);
    if (!s.ok()) errors.push_back(s);
  }
  if (!errors.empty()) return combine(std::move(errors));
  Drainer drainer(*session, writer, f, *pods);
  for (const Found& n : nodes) {
    Status s = drainer.drain(n);
    if (!s.ok()) errors.push_back(s);
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
