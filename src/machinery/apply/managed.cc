#include "machinery/apply/managed.h"

#include <algorithm>
#include <array>
#include <cwctype>

#include "machinery/apply/known_texts.h"
#include "machinery/codec_json.h"
#include "machinery/instant.h"

namespace keles::apply {
namespace {

constexpr std::string_view kFieldsV1 = "FieldsV1";

void json_member(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  out += out.size() > 1 ? ",\"" : "\"";
  out += key;
  out += "\":";
  write_json_string(out, value);
}

int64_t seconds_of(std::string_view time) {
  if (time.empty()) return 0;
  auto t = parse_instant(time);
  if (!t.ok()) return 0;
  return t->seconds;
}

std::string quoted(std::string_view s) {
  std::string out;
  write_json_string(out, s, false);
  return out;
}

// fieldsV1 as a tree: what reading to_fields_v1() would give.
Value tree_of(Arena& out, PathSet s, bool self) {
  Value v = Value::map();
  const auto entries = entries_of(s);
  v.reserve_members(out, entries.size() + (self && s ? 1 : 0));
  if (self && s) v.append_member(out, ".", Value::map());
  for (const PathEntry& e : entries) {
    auto* key = static_cast<char*>(out.allocate(e.element.body.size() + 2, 1));
    key[0] = e.element.kind;
    key[1] = ':';
    std::copy(e.element.body.begin(), e.element.body.end(), key + 2);
    v.append_member(out, {key, e.element.body.size() + 2}, tree_of(out, e.below, e.member));
  }
  return v;
}

Value fields_of_manager(Arena& out, const Manager& m, bool as_text) {
  const bool kept = !m.text.empty() && m.set == m.parsed;
  if (as_text) return Value::string(out.copy(kept ? m.text : to_fields_v1(m.set)));
  if (!kept) return tree_of(out, m.set, false);
  if (m.open) return deep_copy(out, *m.open);
  Value text = Value::string(out.copy(m.text));
  auto parsed = parse_json(out, text.as_string());
  return parsed.ok() ? *parsed : text;
}

}  // namespace

std::string Manager::identity() const {
  std::string out = "{";
  json_member(out, "manager", name);
  json_member(out, "operation", applied ? "Apply" : "Update");
  if (!applied) json_member(out, "apiVersion", api_version);
  json_member(out, "subresource", subresource);
  return out + "}";
}

std::string print_manager(const Manager& m) {
  std::string out = quoted(m.name);
  if (!m.subresource.empty()) out += " with subresource " + quoted(m.subresource);
  if (!m.applied) out += " using " + std::string(m.api_version);
  return out;
}

Result<Managers> Managers::decode(Arena& arena, const Value& list) {
  Managers out(arena);
  out.all_.reserve(list.size() + 1);
  out.held_.reserve(list.size());
  size_t i = 0;
  for (const Value& entry : list.items()) {
    const std::string index = std::to_string(i++);
    Manager m;
    std::string_view operation = entry["operation"].as_string();
    if (operation != "Apply" && operation != "Update") {
      return Status(Reason::kUnknown, "operation must be `Apply` or `Update`");
    }
    m.applied = operation == "Apply";
    m.name = entry["manager"].as_string();
    m.api_version = entry["apiVersion"].as_string();
    m.subresource = entry["subresource"].as_string();
    m.time = entry["time"].as_string();
    if (m.api_version.empty()) return Status(Reason::kUnknown, "apiVersion must not be empty");
    std::string_view type = entry["fieldsType"].as_string();
    if (type.empty()) {
      return Status(Reason::kUnknown, "missing fieldsType in managed fields entry " + index);
    }
    if (type != kFieldsV1) {
      return Status(Reason::kUnknown,
                    "invalid fieldsType " + quoted(type) + " in managed fields entry " + index);
    }
    const Value& fields = entry["fieldsV1"];
    m.text = fields.is_string() ? fields.as_string()
             : fields.is_null() ? std::string_view("{}")
                                : arena.copy(to_json(fields));
    if (fields.is_map()) m.open = &fields;
    auto set = set_of_text(m.text);
    if (!set) return Status(Reason::kUnknown, "error decoding versioned set of " + m.identity());
    m.set = m.parsed = set->set;
    out.held_.push_back(std::move(set));
    out.of(m) = m;
  }
  return out;
}

Value Managers::encode(Arena& out, bool as_text) {
  if (all_.empty()) return {};
  struct Timed {
    const Manager* m;
    int64_t seconds;
  };
  std::vector<Timed> order;
  order.reserve(all_.size());
  for (const Manager& m : all_) order.push_back({&m, all_.size() > 1 ? seconds_of(m.time) : 0});
  std::sort(order.begin(), order.end(), [](const Timed& x, const Timed& y) {
    const Manager &a = *x.m, &b = *y.m;
    if (a.applied != b.applied) return a.applied;
    if (x.seconds != y.seconds) return x.seconds < y.seconds;
    if (int c = a.name.compare(b.name)) return c < 0;
    if (int c = a.api_version.compare(b.api_version)) return c < 0;
    return a.subresource < b.subresource;
  });
  Value list = Value::list();
  list.reserve_items(out, order.size());
  for (const auto& [m, seconds] : order) {
    Value& e = list.append(out, Value::map());
    e.reserve_members(out, 7);
    auto text = [&](std::string_view key, std::string_view v) {
      if (!v.empty()) e.append_member(out, key, Value::string(out.copy(v)));
    };
    text("manager", m->name);
    e.append_member(out, "operation", Value::string(m->applied ? "Apply" : "Update"));
    text("apiVersion", m->api_version);
    text("time", m->time);
    e.append_member(out, "fieldsType", Value::string(kFieldsV1));
    e.append_member(out, "fieldsV1", fields_of_manager(out, *m, as_text));
    text("subresource", m->subresource);
  }
  return list;
}

Manager* Managers::find(const Manager& identity) {
  for (Manager& m : all_) {
    if (m.same_identity(identity)) return &m;
  }
  return nullptr;
}

Manager& Managers::of(const Manager& identity) {
  if (Manager* m = find(identity)) return *m;
  all_.push_back(identity);
  all_.back().set = all_.back().parsed = nullptr;
  all_.back().text = {};
  all_.back().open = nullptr;
  return all_.back();
}

void Managers::drop_empty() {
  std::erase_if(all_, [](const Manager& m) { return m.set == nullptr; });
}

void Managers::cap_updates(size_t most) {
  size_t left = 0;
  for (const Manager& m : all_) left += m.applied ? 0 : 1;
  if (left <= most) return;
  std::vector<Manager> oldest;
  for (const Manager& m : all_) {
    if (!m.applied) oldest.push_back(m);
  }
  std::sort(oldest.begin(), oldest.end(), [](const Manager& a, const Manager& b) {
    const int64_t x = seconds_of(a.time), y = seconds_of(b.time);
    return x != y ? x < y : a.identity() < b.identity();
  });
  // By version: the first that is seen becomes the bucket once there is a second.
  std::vector<Manager> first;
  for (size_t i = 0; i < oldest.size() && left > most; ++i) {
    const Manager& m = oldest[i];
    auto seen = std::find_if(first.begin(), first.end(),
                             [&](const Manager& f) { return f.api_version == m.api_version; });
    if (seen == first.end()) {
      first.push_back(m);
      continue;
    }
    Manager bucket;
    bucket.name = "ancient-changes";
    bucket.api_version = m.api_version;
    Manager made = bucket;
    if (Manager* there = find(bucket)) {
      made.set = there->set;
    } else if (Manager* f = find(*seen)) {
      made.set = f->set;
    }
    made.set = unite(*arena_, m.set, made.set);
    made.time = m.time;
    const bool fresh = !find(bucket);
    std::erase_if(all_, [&](const Manager& x) {
      return x.same_identity(m) || x.same_identity(bucket) || (fresh && x.same_identity(*seen));
    });
    all_.push_back(made);
    --left;
  }
}

// --- validation ---

namespace {

struct Rune {
  uint32_t code;
  size_t at;
  std::string_view text;
};

// The runes of a text; what is not UTF-8 is U+FFFD, as in Go.
std::vector<Rune> runes_of(std::string_view s) {
  std::vector<Rune> out;
  for (size_t i = 0; i < s.size();) {
    const auto c = static_cast<unsigned char>(s[i]);
    size_t n = c < 0x80 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 0;
    uint32_t code = n == 1 ? c : n == 4 ? c & 7u : n == 3 ? c & 15u : c & 31u;
    bool good = n > 0 && i + n <= s.size();
    for (size_t k = 1; good && k < n; ++k) {
      const auto b = static_cast<unsigned char>(s[i + k]);
      good = (b & 0xC0) == 0x80;
      code = code << 6 | (b & 0x3F);
    }
    if (!good) {
      n = 1;
      code = 0xFFFD;
    }
    out.push_back({code, i, s.substr(i, n)});
    i += n;
  }
  return out;
}

// Go's unicode.IsPrint, but for characters that no version of Unicode assigns.
bool printable(uint32_t c) {
  if (c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD) return false;
  struct Range {
    uint32_t first, last;
  };
  // Spaces, format characters, surrogates, private use, non-characters.
  constexpr Range kNot[] = {
      {0x0600, 0x0605}, {0x061C, 0x061C}, {0x06DD, 0x06DD},   {0x070F, 0x070F},
      {0x1680, 0x1680}, {0x180E, 0x180E}, {0x2000, 0x200F},   {0x2028, 0x202F},
      {0x205F, 0x206F}, {0x3000, 0x3000}, {0xD800, 0xF8FF},   {0xFEFF, 0xFEFF},
      {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0xE0000, 0xE007F}, {0xF0000, 0x10FFFF}};
  return std::none_of(std::begin(kNot), std::end(kNot),
                      [c](const Range& r) { return c >= r.first && c <= r.last; });
}

// %#U of Go: U+0009, and the character where it can be seen.
std::string describe(const Rune& r) {
  std::string hex;
  for (uint32_t c = r.code; c || hex.size() < 4; c >>= 4) {
    hex.insert(hex.begin(), "0123456789ABCDEF"[c & 15]);
  }
  return "U+" + hex + (printable(r.code) ? " '" + std::string(r.text) + "'" : "");
}

// %q of Go.
std::string go_quoted(std::string_view s) {
  std::string out = "\"";
  for (const Rune& r : runes_of(s)) {
    constexpr std::string_view kNames = "abtnvfr";  // 7 to 13
    if (r.code == '"' || r.code == '\\') {
      out += '\\';
      out += static_cast<char>(r.code);
    } else if (r.code >= 7 && r.code <= 13) {
      out += '\\';
      out += kNames[r.code - 7];
    } else if (printable(r.code)) {
      out += r.text;
    } else {
      const bool small = r.code < 0x80;
      std::string hex;
      for (uint32_t c = r.code; c; c >>= 4) hex.insert(hex.begin(), "0123456789abcdef"[c & 15]);
      const size_t width = small ? 2 : r.code > 0xFFFF ? 8 : 4;
      out += small ? "\\x" : r.code > 0xFFFF ? "\\U" : "\\u";
      out += std::string(width - std::min(width, hex.size()), '0') + hex;
    }
  }
  return out + '"';
}

constexpr size_t kMaxManager = 128, kMaxSubresource = 256;

StatusCause too_long(size_t most, std::string path) {
  return {"FieldValueTooLong", "Too long: may not be more than " + std::to_string(most) + " bytes",
          std::move(path)};
}

// Nothing is wrong with it; most are such.
bool is_plain_manager(std::string_view name) {
  return name.size() <= kMaxManager &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

std::vector<StatusCause> check_field_manager(std::string_view name, const std::string& path) {
  std::vector<StatusCause> out;
  if (is_plain_manager(name)) return out;
  if (name.size() > kMaxManager) out.push_back(too_long(kMaxManager, path));
  for (const Rune& r : runes_of(name)) {
    if (printable(r.code)) continue;
    out.push_back({"FieldValueInvalid",
                   "Invalid value: " + go_quoted(name) + ": invalid character " + describe(r) +
                       " (at position " + std::to_string(r.at) + ")",
                   path});
  }
  return out;
}

std::vector<StatusCause> check_managed_fields(const Value& list, const std::string& path) {
  std::vector<StatusCause> out;
  const auto all = list.items();
  for (size_t i = 0; i < all.size(); ++i) {
    const Value& entry = all[i];
    auto at = [&](std::string_view field) {
      return path + "[" + std::to_string(i) + "]." + std::string(field);
    };
    auto invalid = [&](std::string_view field, std::string_view must) {
      out.push_back({"FieldValueInvalid",
                     "Invalid value: " + go_quoted(entry[field].as_string()) + ": must be " +
                         std::string(must),
                     at(field)});
    };
    std::string_view operation = entry["operation"].as_string();
    if (operation != "Apply" && operation != "Update") invalid("operation", "`Apply` or `Update`");
    std::string_view type = entry["fieldsType"].as_string();
    if (!type.empty() && type != kFieldsV1) invalid("fieldsType", "`FieldsV1`");
    const std::string_view manager = entry["manager"].as_string();
    if (!is_plain_manager(manager)) {
      for (auto& c : check_field_manager(manager, at("manager"))) out.push_back(std::move(c));
    }
    if (entry["subresource"].as_string().size() > kMaxSubresource) {
      out.push_back(too_long(kMaxSubresource, at("subresource")));
    }
  }
  return out;
}

std::string manager_of_agent(std::string_view user_agent) {
  user_agent = user_agent.substr(0, user_agent.find('/'));
  std::string out;
  for (const Rune& r : runes_of(user_agent)) {
    if (!printable(r.code)) continue;
    std::string_view text = r.code == 0xFFFD ? std::string_view("\xEF\xBF\xBD") : r.text;
    if (out.size() + text.size() > kMaxManager) break;
    out += text;
  }
  return out;
}

// --- scale ---

namespace {

bool holds(PathSet set, std::string_view path) {
  const PathEntry* e = nullptr;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    e = apply::find(set, {path.substr(0, dot), 'f'});
    if (!e) return false;
    set = e->below;
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return e && e->member;
}

Managers decode_or_none(Arena& arena, const Value& list) {
  auto d = Managers::decode(arena, list);
  return d.ok() ? std::move(*d) : Managers(arena);
}

}  // namespace

Value managed_in_subresource(Arena& out, const Value& parent, const FieldOfSubresource& f) {
  Arena arena;
  Managers managers = decode_or_none(arena, parent);
  std::erase_if(managers.all(), [&](const Manager& m) {
    auto path = f.path_in(m.api_version);
    return !path || !holds(m.set, *path);
  });
  PathSet only = fields_set(arena, {&f.inner, 1});
  Managers inner(arena);
  for (const Manager& m : managers.all()) {
    // One who updated in two versions is one here: upstream keeps their identities apart by the
    // parent's version until they are encoded.
    Manager as = m;
    as.api_version = f.inner_version;
    Manager& made = inner.of(as);
    made.time = m.time;
    made.set = only;
  }
  return inner.encode(out, true);
}

Value managed_in_parent(Arena& out, const Value& parent, const Value& now,
                        const FieldOfSubresource& f, bool as_text) {
  Arena arena;
  Managers managers = decode_or_none(arena, parent), inner = decode_or_none(arena, now);
  auto field_in = [&](std::string_view version) -> PathSet {
    auto path = f.path_in(version);
    return path ? fields_set(arena, {&*path, 1}) : nullptr;
  };
  std::erase_if(managers.all(), [&](const Manager& m) { return !f.path_in(m.api_version); });
  std::vector<bool> placed(inner.all().size());
  for (Manager& m : managers.all()) {
    if (!holds(m.set, *f.path_in(m.api_version))) continue;
    bool kept = false;
    for (size_t i = 0; i < inner.all().size(); ++i) {
      const Manager& x = inner.all()[i];
      if (x.applied != m.applied || x.name != m.name || x.subresource != m.subresource) continue;
      kept = placed[i] = true;
    }
    if (!kept) m.set = subtract(arena, m.set, field_in(m.api_version));
  }
  for (size_t i = 0; i < inner.all().size(); ++i) {
    if (placed[i] || !holds(inner.all()[i].set, f.inner)) continue;
    Manager as = inner.all()[i];
    as.api_version = f.parent_version;
    as.time = {};  // upstream tells no time of who comes by a subresource
    Manager& made = managers.of(as);
    made.set = unite(arena, made.set, field_in(f.parent_version));
  }
  managers.drop_empty();
  return managers.encode(out, as_text);
}

}  // namespace keles::apply
