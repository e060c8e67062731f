#include <algorithm>

#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

struct Taint {
  std::string key, value, effect;
};

Status effect_known(const std::string& effect) {
  if (effect == "NoSchedule" || effect == "PreferNoSchedule" || effect == "NoExecute") {
    return Status();
  }
  return failure("invalid taint effect: " + effect + ", unsupported taint effect");
}

// "key=value:Effect", "key:Effect", "key-", "key:Effect-"
Status parse_taint(std::string spec, std::vector<Taint>* add, std::vector<Taint>* remove) {
  bool removal = spec.ends_with('-');
  if (removal) spec.pop_back();
  size_t colon = spec.rfind(':');
  Taint t;
  t.effect = colon == spec.npos ? "" : spec.substr(colon + 1);
  std::string rest = spec.substr(0, colon);
  size_t eq = rest.find('=');
  t.key = rest.substr(0, eq);
  t.value = eq == rest.npos ? "" : rest.substr(eq + 1);
  if (t.key.empty()) return failure("invalid taint spec: " + spec);
  if (!removal && t.effect.empty()) return failure("invalid taint spec: " + spec);
  if (!t.effect.empty()) TRY(effect_known(t.effect));
  (removal ? remove : add)->push_back(std::move(t));
  return Status();
}

bool is_change(const std::string& arg) {
  return arg.find('=') != arg.npos || arg.find(':') != arg.npos || arg.ends_with('-');
}

Status taint_one(Session& session, Writer& writer, const Found& node, const std::vector<Taint>& add,
                 const std::vector<Taint>& remove, bool overwrite) {
  Document d;
  Value& taints = at(d, "spec.taints");
  taints = Value::list();
  bool added = false, removed = false, changed = false;
  auto is = [](const Value& v, const Taint& t) {
    return v["key"].as_string() == t.key &&
           (t.effect.empty() || v["effect"].as_string() == t.effect);
  };
  for (const Value& old : node.object.root["spec"]["taints"].items()) {
    auto gone = [&](const Taint& t) { return is(old, t); };
    if (std::any_of(remove.begin(), remove.end(), gone)) {
      removed = true;
      continue;
    }
    auto same = std::find_if(add.begin(), add.end(), gone);
    if (same != add.end()) {
      if (!overwrite) {
        return failure("node " + node.name + " already has " + same->key +
                       " taint(s) with same effect(s) and --overwrite is false");
      }
      changed = true;
      continue;
    }
    taints.append(d.arena, old);
  }
  for (const Taint& t : remove) {
    const Value& old = node.object.root["spec"]["taints"];
    bool any = std::any_of(old.items().begin(), old.items().end(),
                           [&](const Value& v) { return is(v, t); });
    if (!any)
      return failure("taint \"" + t.key + (t.effect.empty() ? "" : ":" + t.effect) +
                     "\" not found");
  }
  for (const Taint& t : add) {
    Value& v = taints.append(d.arena, Value::map());
    v.set(d.arena, "effect", text(d, t.effect));
    v.set(d.arena, "key", text(d, t.key));
    if (!t.value.empty()) v.set(d.arena, "value", text(d, t.value));
    added = true;
  }
  std::string operation = added && (removed || changed) ? "modified"
                          : removed                     ? "untainted"
                                                        : "tainted";
  if (writer.client_only()) return writer.report(node.object.root, operation);
  // Against the list that was read: somebody else's taint is not lost.
  d.root.set(d.arena, "metadata", Value::map());
  put(d, "metadata.resourceVersion", node.object.root["metadata"]["resourceVersion"].as_string());
  Result<Document> made =
      writer.patch(session, *node.resource, "", node.name, PatchType::kMerge, to_json(d.root));
  if (!made.ok()) return made.status();
  return writer.report(made->root, operation);
}

}  // namespace

Status taint(Invocation& in) {
  Query q;
  bool overwrite = false;
  Writer writer("kubectl-taint");
  in.flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
  in.flags.add("all", &q.all, "Select all nodes in the cluster");
  in.flags.add("overwrite", &overwrite, "If true, allow taints to be overwritten.");
  writer.add_to(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  std::vector<Taint> add, remove;
  for (const std::string& arg : in.args) {
    if (is_change(arg)) {
      TRY(parse_taint(arg, &add, &remove));
    } else {
      q.args.push_back(arg);
    }
  }
  if (q.args.empty()) {
    return failure("one or more resources must be specified as <resource> <name>");
  }
  if (add.empty() && remove.empty()) return failure("at least one taint update is required");
  TRY_ASSIGN(session, in.session());
  std::vector<Status> errors;
  TRY_ASSIGN(found, find_objects(*session, q, &errors));
  for (const Found& f : found) {
    if (f.resource->kind != "Node") {
      return failure("invalid resource type " + f.resource->plural + ", only node(s) is supported");
    }
    Status s = taint_one(*session, writer, f, add, remove, overwrite);
    if (!s.ok()) errors.push_back(s);
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
