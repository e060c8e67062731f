#include "ingress/gateway_status.h"

#include "machinery/time.h"

namespace keles::ingress {
namespace {

class Writer {
 public:
  Writer(const Value& object, WallTime now)
      : before_(object),
        generation_(object["metadata"]["generation"].as_int()),
        now_(format_time(now)) {
    doc_.root = deep_copy(doc_.arena, object);
  }
  Value& status() {
    Value& s = doc_.root.get_or_add(doc_.arena, "status");
    if (!s.is_map()) s = Value::map();
    return s;
  }
  void set(Value& map, std::string_view key, std::string_view text) {
    map.set(doc_.arena, key, Value::string(doc_.arena.copy(text)));
  }
  Arena& arena() { return doc_.arena; }

  // `had`: those that it had before.
  Value conditions(const Value& had, const std::vector<Condition>& wanted) {
    Value out = Value::list();
    for (const Condition& c : wanted) {
      const std::string_view status = c.status ? "True" : "False";
      const Value* before = nullptr;
      for (const Value& h : had.items())
        if (h["type"].as_string() == c.type) before = &h;
      const bool same = before && (*before)["status"].as_string() == status;
      Value& v = out.append(arena(), Value::map());
      set(v, "type", c.type);
      set(v, "status", status);
      set(v, "reason", c.reason);
      set(v, "message", c.message);
      v.set(arena(), "observedGeneration", Value(generation_));
      set(v, "lastTransitionTime", same ? (*before)["lastTransitionTime"].as_string() : now_);
    }
    for (const Value& h : had.items()) {  // of other types: somebody else's
      bool ours = false;
      for (const Condition& c : wanted) ours = ours || h["type"].as_string() == c.type;
      if (!ours) out.append(arena(), deep_copy(arena(), h));
    }
    return out;
  }
  std::optional<Document> take() {
    if (doc_.root["status"].equals(before_["status"])) return std::nullopt;
    return std::move(doc_);
  }

 private:
  const Value& before_;
  int64_t generation_;
  std::string now_;
  Document doc_;
};

}  // namespace

std::optional<Document> with_status(const ClassState& state, WallTime now) {
  Writer w(*state.object, now);
  Value made = w.conditions((*state.object)["status"]["conditions"], state.conditions);
  w.status().set(w.arena(), "conditions", made);
  return w.take();
}

std::optional<Document> with_status(const GatewayState& state,
                                    const std::vector<Address>& addresses, WallTime now) {
  Writer w(*state.object, now);
  const Value& had = (*state.object)["status"];
  Value& status = w.status();
  Value made = w.conditions(had["conditions"], state.conditions);
  status.set(w.arena(), "conditions", made);
  Value list = Value::list();
  for (const Address& a : addresses) {
    Value& v = list.append(w.arena(), Value::map());
    w.set(v, "type", a.ip.empty() ? "Hostname" : "IPAddress");
    w.set(v, "value", a.ip.empty() ? a.hostname : a.ip);
  }
  status.set(w.arena(), "addresses", list);
  Value listeners = Value::list();
  for (const ListenerState& l : state.listeners) {
    const Value* before = &Value::null();
    for (const Value& b : had["listeners"].items())
      if (b["name"].as_string() == l.name) before = &b;
    Value& v = listeners.append(w.arena(), Value::map());
    w.set(v, "name", l.name);
    v.set(w.arena(), "attachedRoutes", Value(l.attached));
    Value kinds = Value::list();
    for (const std::string& kind : l.kinds) {
      Value& k = kinds.append(w.arena(), Value::map());
      w.set(k, "group", kGatewayGroup);
      w.set(k, "kind", kind);
    }
    v.set(w.arena(), "supportedKinds", kinds);
    Value conditions = w.conditions((*before)["conditions"], l.conditions);
    v.set(w.arena(), "conditions", conditions);
  }
  status.set(w.arena(), "listeners", listeners);
  return w.take();
}

std::optional<Document> with_status(const RouteState& state, WallTime now) {
  Writer w(*state.object, now);
  const Value& had = (*state.object)["status"]["parents"];
  Value parents = Value::list();
  for (const Value& p : had.items())
    if (p["controllerName"].as_string() != kGatewayController)
      parents.append(w.arena(), deep_copy(w.arena(), p));
  for (const ParentState& p : state.parents) {
    const Value* before = &Value::null();
    for (const Value& b : had.items())
      if (b["controllerName"].as_string() == kGatewayController && b["parentRef"].equals(*p.ref))
        before = &b;
    Value& v = parents.append(w.arena(), Value::map());
    v.set(w.arena(), "parentRef", deep_copy(w.arena(), *p.ref));
    w.set(v, "controllerName", kGatewayController);
    Value conditions = w.conditions((*before)["conditions"], p.conditions);
    v.set(w.arena(), "conditions", conditions);
  }
  w.status().set(w.arena(), "parents", parents);
  return w.take();
}

}  // namespace keles::ingress
