#include <cstdio>
#include <iostream>

#include "base/text_parts.h"
#include "kubectl/removal.h"
#include "kubectl/select.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"

namespace keles::kubectl {
namespace {

struct DeleteFlags {
  Query query;
  Removal removal;
  std::string output, dry_run = "none", raw;
  bool ignore_not_found = false, now = false, interactive = false;

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
    removal.wait = true;
    removal.add_to(flags);
    flags.add("now", &now, "If true, resources are signaled for immediate shutdown.");
    flags.add("output", &output,
              "Output mode. Use \"-o name\" for shorter output "
              "(resource/name).",
              'o');
    flags.add("raw", &raw, "Raw URI to DELETE to the server.");
    flags.add("interactive", &interactive, "If true, delete resource only when user confirms.",
              'i');
    flags.add("dry-run", &dry_run, "Must be \"none\", \"server\", or \"client\".");
    flags.set_bare_value("dry-run", "client");
  }

  Status check(bool ignore_given) {
    int64_t& grace = removal.grace;
    const bool force = removal.force;
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
    TRY(removal.check());
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
    if (f_.interactive) {
      TRY_ASSIGN(there, existing(victims));
      victims = std::move(there);
      if (!victims.empty() && !confirmed(victims)) {
        print("deletion is cancelled\n");
        return Status();
      }
    }
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
    if (f_.removal.wait && f_.dry_run == "none") {
      for (const Victim& v : deleted) {
        const Removal& how = f_.removal;
        Status s = how.await_gone(session_, *v.resource, v.ns, v.name, v.uid, how.timeout);
        if (!s.ok()) errors.push_back(s);
      }
    }
    return combine(std::move(errors));
  }

 private:
  // Those that are there: nobody is asked about others.
  Result<std::vector<Victim>> existing(const std::vector<Victim>& victims) {
    std::vector<Victim> out;
    for (const Victim& v : victims) {
      Status s = session_.call(Call("GET", v.resource->path(v.ns, v.name))).status();
      if (s.ok()) {
        out.push_back(v);
      } else if (!f_.ignore_not_found || !s.is(Reason::kNotFound)) {
        return s;
      }
    }
    return out;
  }

  static bool confirmed(const std::vector<Victim>& victims) {
    print("You are about to delete the following " + std::to_string(victims.size()) +
          " resource(s):\n");
    for (const Victim& v : victims) print(v.resource->display(v.name) + "\n");
    print("Do you want to continue? (y/N): ");
    std::fflush(stdout);
    std::string line;
    return std::getline(std::cin, line) && (trim(line) == "y" || trim(line) == "Y");
  }

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
    Result<std::string> r =
        f_.removal.remove(session_, *v->resource, v->ns, v->name, f_.dry_run == "server");
    if (!r.ok()) {
      if (v->source.empty() || !is_server_error(r.status())) return r.status();
      return r.status().with_prefix("error when deleting \"" + v->source + "\"");
    }
    v->uid = *r;
    say(*v);
    return Status();
  }

  void say(const Victim& v) const {
    std::string line;
    if (f_.output == "name") {
      line = v.resource->display(v.name);
    } else {
      line = v.resource->type_name() + " \"" + v.name + "\" " +
             (f_.removal.grace == 0 ? "force deleted" : "deleted");
      if (v.resource->namespaced) line += " from " + v.ns + " namespace";
      if (f_.dry_run != "none") {
        line += f_.dry_run == "client" ? " (dry run)" : " (server dry run)";
      }
    }
    print(line + "\n");
    std::fflush(stdout);
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
    if (f.interactive) return failure("--interactive can not be used with --raw");
    TRY_ASSIGN(session, in.session());
    return raw_request(*session, "DELETE", f.raw, f.query.files);
  }
  TRY(f.check(in.flags.given("ignore-not-found")));
  TRY_ASSIGN(session, in.session());
  return Deleter(*session, f).run();
}

}  // namespace keles::kubectl
