#include <cstdio>

#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

struct DeleteFlags {
  Query query;
  std::string cascade = "background", output, dry_run = "none", raw;
  int64_t grace = -1;
  Duration timeout{0};
  bool ignore_not_found = false, wait = true, now = false, force = false;

  void add_to(Flags& flags) {
    query.files.add_to(flags, "containing the resource to delete.");
    flags.add("selector", &query.label_selector, "Selector (label query) to filter on", 'l');
    flags.add("field-selector", &query.field_selector, "Selector (field query) to filter on");
    flags.add("all", &query.all,
              "Delete all resources, in the namespace of the specified resource types.");
    flags.add("all-namespaces", &query.all_namespaces,
              "If present, list the requested object(s) across all namespaces.", 'A');
    flags.add("ignore-not-found", &ignore_not_found,
              "Treat \"resource not found\" as a successful delete.");
    flags.add("cascade", &cascade,
              "Must be \"background\", \"orphan\", or \"foreground\". Selects the deletion "
              "cascading strategy for the dependents.");
    flags.set_bare_value("cascade", "background");
    flags.add("grace-period", &grace,
              "Period of time in seconds given to the resource to terminate gracefully.");
    flags.add("now", &now, "If true, resources are signaled for immediate shutdown.");
    flags.add("force", &force,
              "If true, immediately remove resources from API and bypass graceful deletion.");
    flags.add("timeout", &timeout,
              "The length of time to wait before giving up on a delete, zero means as long as "
              "the resource takes.");
    flags.add("wait", &wait, "If true, wait for resources to be gone before returning.");
    flags.add("output", &output,
              "Output mode. Use \"-o name\" for shorter output "
              "(resource/name).",
              'o');
    flags.add("raw", &raw, "Raw URI to DELETE to the server.");
    flags.add("dry-run", &dry_run, "Must be \"none\", \"server\", or \"client\".");
    flags.set_bare_value("dry-run", "client");
  }

  Status check(bool ignore_given) {
    if (now && grace >= 0) return failure("--now and --grace-period cannot be specified together");
    if (now) grace = 1;
    if (force && grace < 0) grace = 0;
    if (grace == 0 && !force) grace = 1;  // nothing is lost by waiting for its end
    if (!output.empty() && output != "name") {
      return failure("unexpected -o output mode: " + output + ". We only support '-o name'");
    }
    if (query.all && !query.label_selector.empty()) {
      return failure("cannot set --all and --selector at the same time");
    }
    if (query.all && !query.field_selector.empty()) {
      return failure("cannot set --all and --field-selector at the same time");
    }
    if (grace > 0 && force) {
      return failure("--force and --grace-period greater than 0 cannot be specified together");
    }
    if (dry_run != "none" && dry_run != "client" && dry_run != "server") {
      return failure("Invalid dry-run value (" + dry_run +
                     "). Must be \"none\", \"server\", or \"client\".");
    }
    if (cascade == "true") cascade = "background";
    if (cascade == "false") cascade = "orphan";
    if (cascade != "background" && cascade != "orphan" && cascade != "foreground") {
      return failure("Invalid cascade value (" + cascade +
                     "). Must be \"background\", \"foreground\", or \"orphan\".");
    }
    if (query.all && !ignore_given) ignore_not_found = true;
    if (force) {
      print_error(
          "Warning: Immediate deletion does not wait for confirmation that the running resource "
          "has been terminated. The resource may continue to run on the cluster indefinitely.\n");
    }
    return Status();
  }
};

struct Victim {
  const Resource* resource;
  std::string ns, name, source, uid;
};

class Deleter {
 public:
  Deleter(Session& session, DeleteFlags& f) : session_(session), f_(f) {}

  Status run() {
    TRY_ASSIGN(selection, select(session_, f_.query));
    std::vector<Victim> victims;
    for (Target& t : selection.targets) TRY(expand(t, &victims));
    bool warn = session_.namespace_given() && !f_.query.all_namespaces;
    std::vector<Status> errors;
    std::vector<Victim> deleted;
    for (Victim& v : victims) {
      if (warn && !v.resource->namespaced) {
        print_error(
            "Warning: deleting cluster-scoped resources, not scoped to the provided "
            "namespace\n");
        warn = false;
      }
      Status s = remove(&v);
      if (s.ok()) {
        deleted.push_back(v);
      } else if (!f_.ignore_not_found || !s.is(Reason::kNotFound)) {
        errors.push_back(s);
      }
    }
    if (deleted.empty() && errors.empty() && victims.empty()) {
      print("No resources found\n");
      return Status();
    }
    if (f_.wait && f_.dry_run == "none") {
      for (const Victim& v : deleted) {
        Status s = await_gone(v);
        if (!s.ok()) errors.push_back(s);
      }
    }
    return combine(std::move(errors));
  }

 private:
  Status expand(Target& t, std::vector<Victim>* out) {
    if (!t.name.empty() || t.object) {
      out->push_back({t.resource, t.ns, t.name, t.source, ""});
      return Status();
    }
    TRY_ASSIGN(pages, fetch(session_, f_.query, t));
    for (const Document& page : pages) {
      for (const Value& item : page.root["items"].items()) {
        const Value& meta = item["metadata"];
        out->push_back({t.resource, std::string(meta["namespace"].as_string()),
                        std::string(meta["name"].as_string()), "", ""});
      }
    }
    return Status();
  }

  Status remove(Victim* v) {
    if (f_.dry_run == "client") {
      // Whether it is there is asked for all the same.
      TRY(session_.call(Call("GET", v->resource->path(v->ns, v->name))));
      say(*v);
      return Status();
    }
    Document options;
    put(options, "kind", "DeleteOptions");
    put(options, "apiVersion", "v1");
    if (f_.grace >= 0) put(options, "gracePeriodSeconds", f_.grace);
    std::string policy = f_.cascade;
    policy[0] = static_cast<char>(policy[0] - 32);
    put(options, "propagationPolicy", policy);
    if (f_.dry_run == "server") at(options, "dryRun").append(options.arena, Value::string("All"));
    Call c("DELETE", v->resource->path(v->ns, v->name));
    c.content_type = "application/json";
    c.body = to_json(options.root);
    Result<Document> r = session_.call(std::move(c));
    if (!r.ok()) {
      if (v->source.empty() || !is_server_error(r.status())) return r.status();
      return r.status().with_prefix("error when deleting \"" + v->source + "\"");
    }
    const Value& root = r->root;
    v->uid = root["kind"].as_string() == "Status" ? root["details"]["uid"].as_string()
                                                  : root["metadata"]["uid"].as_string();
    say(*v);
    return Status();
  }

  void say(const Victim& v) const {
    std::string line;
    if (f_.output == "name") {
      line = v.resource->display(v.name);
    } else {
      line = v.resource->type_name() + " \"" + v.name + "\" " +
             (f_.grace == 0 ? "force deleted" : "deleted");
      if (v.resource->namespaced) line += " from " + v.ns + " namespace";
      if (f_.dry_run != "none") {
        line += f_.dry_run == "client" ? " (dry run)" : " (server dry run)";
      }
    }
    print(line + "\n");
    std::fflush(stdout);
  }

  // Gone, or another of the same name.
  Status await_gone(const Victim& v) {
    TimePoint end = f_.timeout.count() > 0 ? session_.loop().now() + f_.timeout : TimePoint::max();
    for (;;) {
      Result<Document> r = session_.call(Call("GET", v.resource->path(v.ns, v.name)));
      if (r.status().is(Reason::kNotFound)) return Status();
      if (!r.ok()) return r.status();
      if (!v.uid.empty() && r->root["metadata"]["uid"].as_string() != v.uid) return Status();
      if (session_.loop().now() >= end) {
        return failure("timed out waiting for the condition on " + v.resource->plural + "/" +
                       v.name);
      }
      session_.sleep(100ms);
    }
  }

  Session& session_;
  DeleteFlags& f_;
};

}  // namespace

Status remove(Invocation& in) {
  DeleteFlags f;
  f.add_to(in.flags);
  TRY(in.parse());
  f.query.args = in.args;
  if (!f.raw.empty()) {
    TRY_ASSIGN(session, in.session());
    return raw_request(*session, "DELETE", f.raw, f.query.files);
  }
  TRY(f.check(in.flags.given("ignore-not-found")));
  TRY_ASSIGN(session, in.session());
  return Deleter(*session, f).run();
}

}  // namespace keles::kubectl
