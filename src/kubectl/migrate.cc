#include "kubectl/migrate.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "kubectl/errors.h"
#include "kubectl/write.h"
#include "machinery/apply/path_set.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

bool is_of(const Value& entry, std::string_view operation) {
  return entry["operation"].as_string() == operation && entry["subresource"].is_null();
}

bool holds(const Value& entry) {
  const std::string key = "f:" + std::string(kLastApplied);
  return !entry["fieldsV1"]["f:metadata"]["f:annotations"][key].is_null();
}

// `entry` with what `other` has as well.
Status unite(Document& d, Value& entry, const Value& other) {
  Arena arena;
  const std::string a = to_json(entry["fieldsV1"]), b = to_json(other["fieldsV1"]);
  auto x = apply::parse_fields_v1(arena, a), y = apply::parse_fields_v1(arena, b);
  if (!x || !y) return failure("failed to convert fields to set");
  TRY_ASSIGN(both, parse_json(d.arena, apply::to_fields_v1(apply::unite(arena, x->set, y->set))));
  entry.set(d.arena, "fieldsV1", both);
  return {};
}

// The entries without those that `from` has by updates, which `to` has by applying now.
Status hand_over(Document& d, std::vector<Value>& entries, std::string_view from,
                 std::string_view to) {
  auto first = [&](auto wanted) { return std::find_if(entries.begin(), entries.end(), wanted); };
  auto updated = [&](const Value& e) {
    return is_of(e, "Update") && e["manager"].as_string() == from;
  };
  auto target =
      first([&](const Value& e) { return is_of(e, "Apply") && e["manager"].as_string() == to; });
  if (target == entries.end()) {
    target = first(updated);
    if (target == entries.end()) return {};
    target->set(d.arena, "operation", Value::string("Apply"));
    target->set(d.arena, "manager", Value::string(d.arena.copy(to)));
  }
  auto same_version = first([&](const Value& e) {
    return updated(e) && e["apiVersion"].equals((*target)["apiVersion"]);
  });
  if (same_version != entries.end()) TRY(unite(d, *target, *same_version));
  std::erase_if(entries, updated);
  return {};
}

}  // namespace

bool holds_last_applied(const Value& object, std::string_view operation) {
  auto list = object["metadata"]["managedFields"].items();
  return std::any_of(list.begin(), list.end(), [&](const Value& e) {
    return e["operation"].as_string() == operation && holds(e);
  });
}

Result<std::string> migration_patch(const Value& object, std::string_view manager) {
  const Value& list = object["metadata"]["managedFields"];
  std::set<std::string> names;
  for (const Value& e : list.items()) {
    if (e["operation"].as_string() == "Update" && holds(e)) {
      names.emplace(e["manager"].as_string());
    }
  }
  if (names.empty()) return std::string();
  Document d;
  Value copy = deep_copy(d.arena, list);
  std::vector<Value> entries(copy.items().begin(), copy.items().end());
  for (const std::string& name : names) TRY(hand_over(d, entries, name, manager));
  Value now = Value::list();
  for (const Value& e : entries) now.append(d.arena, e);
  if (now.equals(list)) return std::string();
  std::string version, out = "[{\"op\":\"replace\",\"path\":\"/metadata/managedFields\",\"value\":";
  write_json(out, now);
  out += "},{\"op\":\"replace\",\"path\":\"/metadata/resourceVersion\",\"value\":";
  write_json(out, object["metadata"]["resourceVersion"]);
  return out + "}]";
}

}  // namespace keles::kubectl
