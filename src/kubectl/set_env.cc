#include <algorithm>
#include <iostream>
#include <map>

#include "base/encoding.h"
#include "kubectl/environment.h"
#include "kubectl/set.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

struct EnvFlags {
  std::string containers = "*", from, prefix;
  std::vector<std::string> env, keys;
  bool list = false, resolve = false, overwrite = true;

  void add_to(Flags& flags) {
    flags.add("containers", &containers,
              "The names of containers in the selected pod templates to change - may use wildcards",
              'c');
    flags.add("from", &from, "The name of a resource from which to inject environment variables");
    flags.add("prefix", &prefix, "Prefix to append to variable names");
    flags.add_array("env", &env,
                    "Specify a key-value pair for an environment variable to set into each "
                    "container.",
                    'e');
    flags.add("keys", &keys, "Comma-separated list of keys to import from specified resource");
    flags.add("list", &list,
              "If true, display the environment and any changes in the standard format.");
    flags.add("resolve", &resolve,
              "If true, show secret or configmap references when listing variables");
    flags.add("overwrite", &overwrite,
              "If true, allow environment to be overwritten, otherwise reject updates that "
              "overwrite existing environment.");
  }
};

class EnvSetter {
 public:
  EnvSetter(Invocation& in, Setter& setter, const EnvFlags& f, EnvChanges changes)
      : in_(in), setter_(setter), f_(f), changes_(std::move(changes)) {}

  // The variables of --from, and --prefix.
  Status complete() {
    if (!f_.from.empty()) TRY(add_from());
    for (EnvVar& e : changes_.set) e.name = f_.prefix + e.name;
    return Status();
  }

  Status change(Document& d) {
    TRY_ASSIGN(spec, editable_pod_spec(d));
    const std::string kind(d.root["kind"].as_string());
    const std::string name(d.root["metadata"]["name"].as_string());
    const std::vector<Value*> chosen = select_containers(*spec, f_.containers);
    if (chosen.empty()) {
      print_error("Warning: " + kind + "/" + name + " does not have any containers matching \"" +
                  f_.containers + "\"\n");
    }
    bool unresolved = false;
    for (Value* c : chosen) {
      if (!f_.overwrite) TRY(check_no_overwrites((*c)["env"], changes_));
      Value env = changed_environment(d, (*c)["env"], changes_);
      c->erase("env");
      if (!env.empty()) c->set(d.arena, "env", env);
      if (!f_.list) continue;
      print("# " + kind + " " + name + ", container " + std::string((*c)["name"].as_string()) +
            "\n");
      unresolved = !show(d.root, *c) || unresolved;
    }
    return unresolved ? failure("failed to retrieve valueFrom references") : Status();
  }

 private:
  Status add_from() {
    Query q;
    q.files = setter_.query.files;
    q.label_selector = setter_.query.label_selector;
    q.all = setter_.query.all;
    std::vector<Found> found;
    if (setter_.local) {
      TRY_ASSIGN(here, local_objects(q));
      found = std::move(here);
    } else {
      q.args = {f_.from};
      TRY_ASSIGN(session, in_.session());
      TRY_ASSIGN(there, find_objects(*session, q));
      found = std::move(there);
    }
    for (const Found& f : found) {
      const std::string& kind = f.resource->kind;
      if (!f.resource->group.empty() || (kind != "Secret" && kind != "ConfigMap")) {
        return failure("unsupported resource specified in --from");
      }
      std::vector<std::string> keys;
      for (const Member& m : f.object.root["data"].members()) keys.emplace_back(m.key());
      std::sort(keys.begin(), keys.end());
      for (const std::string& key : keys) add_key(kind, f.name, key);
    }
    return Status();
  }

  void add_key(const std::string& kind, const std::string& object, const std::string& key) {
    const bool wanted =
        f_.keys.empty() || std::find(f_.keys.begin(), f_.keys.end(), key) != f_.keys.end();
    if (!wanted) return;
    EnvVar e;
    e.name = env_name_of(key);
    e.from_kind = kind;
    e.from_name = object;
    e.key = key;
    if (e.name != key) print_error("Warning: key " + key + " transferred to " + e.name + "\n");
    changes_.set.push_back(std::move(e));
  }

  // False when a reference led nowhere; what was wrong is said.
  bool show(const Value& object, const Value& container) {
    std::map<std::string, std::vector<std::string>> wrong;
    for (const Value& e : container["env"].items()) {
      const std::string name(e["name"].as_string());
      const Value& from = e["valueFrom"];
      if (from.is_null()) {
        print(name + "=" + std::string(e["value"].as_string()) + "\n");
        continue;
      }
      Result<std::string> value = f_.resolve ? value_of(from, object, container)
                                             : Result<std::string>(failure("not asked for"));
      print(value.ok() ? name + "=" + *value + "\n"
                       : "# " + name + " from " + reference_text(from) + "\n");
      if (!value.ok() && f_.resolve) wrong[value.status().message()].push_back(name);
    }
    for (auto& [why, names] : wrong) {
      std::sort(names.begin(), names.end());
      std::string all;
      for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
      print_error("error retrieving reference for " + all + ": " + why + "\n");
    }
    return wrong.empty();
  }

  Result<std::string> value_of(const Value& from, const Value& object, const Value& container) {
    if (const Value* r = from.find("secretKeyRef")) return key_value("secret", *r);
    if (const Value* r = from.find("configMapKeyRef")) return key_value("config map", *r);
    if (const Value* r = from.find("fieldRef")) {
      return field_value(object, (*r)["fieldPath"].as_string());
    }
    if (const Value* r = from.find("resourceFieldRef")) return resource_value(*r, container);
    return failure("invalid valueFrom");
  }

  Result<std::string> key_value(const std::string& what, const Value& reference) {
    const bool secret = what == "secret";
    const std::string name(reference["name"].as_string()), key(reference["key"].as_string());
    auto [it, fresh] = read_.try_emplace(what + "/" + name);
    if (fresh) {
      TRY_ASSIGN(session, in_.session());
      TRY_ASSIGN(mapper, session->mapper());
      TRY_ASSIGN(resource, mapper->find(secret ? "secrets" : "configmaps"));
      Result<Document> d = session->call(Call("GET", resource->path(session->ns(), name)));
      if (!d.ok()) {
        read_.erase(it);
        return d.status();
      }
      it->second = std::move(*d);
    }
    const Value* value = it->second.root["data"].find(key);
    if (!value) return failure("key " + key + " not found in " + what + " " + name);
    if (!secret) return std::string(value->as_string());
    const Result<std::string> plain = base64_decode(value->as_string());
    if (!plain.ok()) return failure("key " + key + " of secret " + name + " is not base64");
    return *plain;
  }

  Invocation& in_;
  Setter& setter_;
  const EnvFlags& f_;
  EnvChanges changes_;
  std::map<std::string, Document> read_;
};

bool reads_stdin(const std::vector<std::string>& files) {
  return std::find(files.begin(), files.end(), "-") != files.end();
}

}  // namespace

Status set_env(Invocation& in) {
  Setter setter("env updated", "failed to patch env update to pod template: ");
  EnvFlags f;
  setter.add_to(in.flags, "the resource to update the env");
  f.add_to(in.flags);
  TRY(in.parse());
  Args words, all = f.env;
  if (!split_environment(in.args, &setter.query.args, &words)) {
    std::string given;
    for (const std::string& a : in.args) given += (given.empty() ? "" : " ") + a;
    return failure("all resources must be specified before environment changes: " + given);
  }
  TRY(setter.prepare());
  if (setter.query.files.files.empty() && setter.query.args.empty()) {
    return failure(
        "one or more resources must be specified as <resource> <name> or <resource>/<name>");
  }
  if (f.list && in.flags.given("output")) {
    return failure("--list and --output may not be specified together");
  }
  if (!f.keys.empty() && f.from.empty()) {
    return failure("when specifying --keys, a configmap or secret must be provided with --from");
  }
  all.insert(all.end(), words.begin(), words.end());
  if (reads_stdin(all) && reads_stdin(setter.query.files.files)) {
    return failure("standard input cannot be used for multiple arguments");
  }
  TRY_ASSIGN(changes, parse_environment(all, std::cin));
  EnvSetter env(in, setter, f, std::move(changes));
  TRY(env.complete());
  std::vector<Status> errors;
  TRY_ASSIGN(found, setter.find(in, &errors));
  if (!f.list)
    return setter.change_all(in, found, &errors, [&](Document& d) { return env.change(d); });
  for (const Found& one : found) {
    Document d = one.object.clone();
    // What is wrong with one has been said; the list goes on.
    (void)env.change(d);
  }
  return Status();
}

}  // namespace keles::kubectl
