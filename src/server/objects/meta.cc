#include "server/objects/meta.h"

#include <charconv>

#include "machinery/time.h"

namespace keles::registry {

Value& edit_map(Document& d, Value& in, std::string_view key) {
  Value* found = in.find(key);
  if (!found) found = &in.set(d.arena, d.arena.copy(key), Value::map());
  if (!found->is_map()) *found = Value::map();
  return *found;
}

Value& edit_metadata(Document& d) { return edit_map(d, d.root, "metadata"); }

void set_text(Document& d, Value& map, std::string_view key, std::string_view text) {
  Value v = Value::string(d.arena.copy(text));
  if (Value* old = map.find(key)) {
    *old = v;
  } else {
    map.set(d.arena, d.arena.copy(key), v);
  }
}

void set_meta(Document& d, std::string_view key, std::string_view text) {
  set_text(d, edit_metadata(d), key, text);
}

void set_meta(Document& d, std::string_view key, int64_t n) {
  edit_metadata(d).set(d.arena, d.arena.copy(key), Value(n));
}

void clear_meta(Document& d, std::string_view key) { edit_metadata(d).erase(key); }

void copy_member(Document& d, Value& map, std::string_view key, const Value* from) {
  if (!from || from->is_null()) {
    map.erase(key);
    return;
  }
  map.set(d.arena, d.arena.copy(key), deep_copy(d.arena, *from));
}

std::vector<std::string> finalizers(const Value& root) {
  std::vector<std::string> out;
  for (const Value& f : metadata(root)["finalizers"].items()) out.emplace_back(f.as_string());
  return out;
}

void set_finalizers(Document& d, const std::vector<std::string>& names) {
  Value& m = edit_metadata(d);
  if (names.empty()) {
    m.erase("finalizers");
    return;
  }
  Value list = Value::list();
  for (const std::string& n : names) list.append(d.arena, Value::string(d.arena.copy(n)));
  m.set(d.arena, "finalizers", list);
}

bool deleting(const Value& root) { return !meta(root, "deletionTimestamp").empty(); }

Value& edit_condition(Document& d, std::string_view type) {
  Value& status = edit_map(d, d.root, "status");
  Value* list = status.find("conditions");
  if (!list) list = &status.set(d.arena, "conditions", Value::list());
  if (!list->is_list()) *list = Value::list();
  for (Value& c : list->items()) {
    if (c["type"].as_string() == type) return c;
  }
  Value& made = list->append(d.arena, Value::map());
  set_text(d, made, "type", type);
  return made;
}

bool set_condition(Document& d, std::string_view type, std::string_view status,
                   std::string_view reason, std::string_view message, WallTime now) {
  Value& c = edit_condition(d, type);
  const bool same = c["status"].as_string() == status;
  if (same && c["reason"].as_string() == reason && c["message"].as_string() == message) {
    return false;
  }
  set_text(d, c, "status", status);
  if (!same) set_text(d, c, "lastTransitionTime", time_text(now));
  set_text(d, c, "reason", reason);
  set_text(d, c, "message", message);
  return true;
}

std::string time_text(WallTime t) { return format_time(t); }

Status not_found(const KindDesc& kind, std::string_view name) {
  return Status::not_found(kind.group, kind.plural, name);
}
Status conflict(const KindDesc& kind, std::string_view name, std::string_view why) {
  return Status::conflict(kind.group, kind.plural, name, why);
}
Status forbidden(const KindDesc& kind, std::string_view name, std::string_view why) {
  return Status::forbidden(kind.group, kind.plural, name, why);
}

std::optional<int64_t> to_int(std::string_view text) {
  int64_t n = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return n;
}

}  // namespace keles::registry
