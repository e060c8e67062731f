#include "scheduler/extenders/wire.h"

#include <algorithm>
#include <cctype>

#include "machinery/codec_json.h"

namespace keles::scheduler::extender_wire {
namespace {

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

// The last member of that name in whatever case.
const Value& member(const Value& of, std::string_view name) {
  static const Value none;
  const Value* found = &none;
  for (const Member& m : of.members())
    if (same(m.key(), name)) found = &m.value;
  return *found;
}

Status wrong(std::string_view field, std::string_view wanted) {
  return Status::bad_request("json: cannot unmarshal the answer's field " + std::string(field) +
                             " as " + std::string(wanted));
}

Result<std::string> text_of(const Value& v, std::string_view field) {
  if (v.is_null()) return std::string();
  if (!v.is_string()) return wrong(field, "string");
  return std::string(v.as_string());
}

Result<int64_t> number_of(const Value& v, std::string_view field) {
  if (v.is_null()) return int64_t{0};
  if (!v.is_int()) return wrong(field, "int64");
  return v.as_int();
}

Result<std::map<std::string, std::string>> texts_of(const Value& v, std::string_view field) {
  std::map<std::string, std::string> out;
  if (!v.is_null() && !v.is_map()) return wrong(field, "object");
  for (const Member& m : v.members()) {
    TRY_ASSIGN(text, text_of(m.value, field));
    out[std::string(m.key())] = std::move(text);
  }
  return out;
}

Result<Document> object_of(std::string_view json) {
  TRY_ASSIGN(answer, parse_json(json));
  if (!answer.root.is_map() && !answer.root.is_null()) return wrong("(all)", "object");
  return std::move(answer);
}

void put_name(std::string& out, std::string_view name) {
  write_json_string(out, name);
  out += ':';
}

std::string begin_args(const Object& pod) { return "{\"Pod\":" + *pod.json(); }

}  // namespace

std::string args(const Object& pod, const std::vector<std::string>& names) {
  std::string out = begin_args(pod) + ",\"Nodes\":null,\"NodeNames\":[";
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ',';
    write_json_string(out, names[i]);
  }
  return out + "]}";
}

std::string args(const Object& pod, const std::vector<ObjectPtr>& nodes) {
  std::string out = begin_args(pod) + ",\"Nodes\":{\"metadata\":{},\"items\":[";
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (i > 0) out += ',';
    out += *nodes[i]->json();
  }
  return out + "]},\"NodeNames\":null}";
}

Result<Filtered> read_filtered(std::string_view json) {
  TRY_ASSIGN(answer, object_of(json));
  Filtered out;
  if (const Value& names = member(answer.root, "NodeNames"); !names.is_null()) {
    if (!names.is_list()) return wrong("NodeNames", "array");
    out.names.emplace();
    for (const Value& v : names.items()) {
      TRY_ASSIGN(name, text_of(v, "NodeNames"));
      out.names->push_back(std::move(name));
    }
  }
  if (const Value& nodes = member(answer.root, "Nodes"); !nodes.is_null()) {
    const Value& items = member(nodes, "items");
    if (!nodes.is_map() || (!items.is_null() && !items.is_list()))
      return wrong("Nodes", "NodeList");
    out.nodes.emplace();
    for (const Value& v : items.items()) {
      TRY_ASSIGN(name, text_of(member(member(v, "metadata"), "name"), "Nodes.items"));
      out.nodes->push_back(std::move(name));
    }
  }
  TRY_ASSIGN(failed, texts_of(member(answer.root, "FailedNodes"), "FailedNodes"));
  TRY_ASSIGN(unresolvable, texts_of(member(answer.root, "FailedAndUnresolvableNodes"),
                                    "FailedAndUnresolvableNodes"));
  TRY_ASSIGN(error, text_of(member(answer.root, "Error"), "Error"));
  out.failed = std::move(failed);
  out.unresolvable = std::move(unresolvable);
  out.error = std::move(error);
  return out;
}

Result<std::vector<std::pair<std::string, int64_t>>> read_priorities(std::string_view json) {
  TRY_ASSIGN(answer, parse_json(json));
  std::vector<std::pair<std::string, int64_t>> out;
  if (!answer.root.is_null() && !answer.root.is_list()) return wrong("(all)", "array");
  for (const Value& v : answer.root.items()) {
    if (!v.is_map()) return wrong("(all)", "HostPriority");
    TRY_ASSIGN(host, text_of(member(v, "Host"), "Host"));
    TRY_ASSIGN(score, number_of(member(v, "Score"), "Score"));
    out.emplace_back(std::move(host), score);
  }
  return out;
}

std::string binding_args(const Object& pod, std::string_view node) {
  std::string out = "{\"PodName\":";
  write_json_string(out, pod.name());
  out += ",\"PodNamespace\":";
  write_json_string(out, pod.namespace_());
  out += ",\"PodUID\":";
  write_json_string(out, pod.uid());
  out += ",\"Node\":";
  write_json_string(out, node);
  return out + "}";
}

Result<std::string> read_binding(std::string_view json) {
  TRY_ASSIGN(answer, object_of(json));
  return text_of(member(answer.root, "Error"), "Error");
}

std::string preemption_args(const Object& pod, const std::map<std::string, Offer>& offers,
                            bool meta) {
  std::string out = begin_args(pod);
  out +=
      meta ? ",\"NodeNameToVictims\":null,\"NodeNameToMetaVictims\":{" : ",\"NodeNameToVictims\":{";
  bool first = true;
  for (const auto& [node, offer] : offers) {
    if (!first) out += ',';
    first = false;
    put_name(out, node);
    out += "{\"Pods\":[";
    for (size_t i = 0; i < offer.victims.size(); ++i) {
      if (i > 0) out += ',';
      if (!meta) {
        out += *offer.victims[i]->json();
        continue;
      }
      out += "{\"UID\":";
      write_json_string(out, offer.victims[i]->uid());
      out += '}';
    }
    out += "],\"NumPDBViolations\":" + std::to_string(offer.violations) + "}";
  }
  return out + (meta ? "}}" : "},\"NodeNameToMetaVictims\":null}");
}

Result<std::map<std::string, Victims>> read_preemption(std::string_view json) {
  TRY_ASSIGN(answer, object_of(json));
  const Value& nodes = member(answer.root, "NodeNameToMetaVictims");
  if (!nodes.is_null() && !nodes.is_map()) return wrong("NodeNameToMetaVictims", "object");
  std::map<std::string, Victims> out;
  for (const Member& m : nodes.members()) {
    Victims& v = out[std::string(m.key())];
    const Value& pods = member(m.value, "Pods");
    if (!m.value.is_map() || (!pods.is_null() && !pods.is_list())) return wrong("Pods", "array");
    for (const Value& pod : pods.items()) {
      TRY_ASSIGN(uid, text_of(member(pod, "UID"), "UID"));
      v.uids.push_back(std::move(uid));
    }
    TRY_ASSIGN(violations, number_of(member(m.value, "NumPDBViolations"), "NumPDBViolations"));
    v.violations = violations;
  }
  return out;
}

}  // namespace keles::scheduler::extender_wire
