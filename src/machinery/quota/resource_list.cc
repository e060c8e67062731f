#include "machinery/quota/resource_list.h"

namespace keles::quota {

ResourceList read_resource_list(const Value& map) {
  ResourceList out;
  for (const Member& m : map.members()) {
    out[std::string(m.key())] = Quantity::parse_or_zero(m.value.as_string());
  }
  return out;
}

void write_resource_list(Arena& arena, Value& into, const ResourceList& list) {
  into = Value::map();
  for (const auto& [name, amount] : list) {
    into.set(arena, arena.copy(name), Value::string(arena.copy(amount.to_string())));
  }
}

void add(ResourceList& to, const ResourceList& more) {
  for (const auto& [name, amount] : more) {
    auto [at, fresh] = to.emplace(name, amount);
    if (!fresh) at->second.add(amount);
  }
}

void raise(ResourceList& to, const ResourceList& other) {
  for (const auto& [name, amount] : other) {
    auto [at, fresh] = to.emplace(name, amount);
    if (!fresh && amount > at->second) at->second = amount;
  }
}

ResourceList difference(const ResourceList& a, const ResourceList& b) {
  ResourceList out;
  for (const auto& [name, amount] : a) {
    Quantity left = amount;
    if (auto other = b.find(name); other != b.end()) left.sub(other->second);
    out[name] = left.sign() > 0 ? left : Quantity();
  }
  for (const auto& [name, amount] : b) out.emplace(name, Quantity());
  return out;
}

ResourceList only(const ResourceList& list, const ResourceList& names) {
  ResourceList out;
  for (const auto& [name, amount] : list) {
    if (names.contains(name)) out.emplace(name, amount);
  }
  return out;
}

ResourceList without_zeros(const ResourceList& list) {
  ResourceList out;
  for (const auto& [name, amount] : list) {
    if (!amount.is_zero()) out.emplace(name, amount);
  }
  return out;
}

bool same(const ResourceList& a, const ResourceList& b) { return a == b; }

std::string text_of(const ResourceList& list) {
  std::vector<std::string> parts;
  for (const auto& [name, amount] : list) parts.push_back(name + "=" + amount.to_string());
  return joined(parts, ",");
}

std::string joined(const std::vector<std::string>& texts, std::string_view separator) {
  std::string out;
  for (const std::string& text : texts) {
    if (!out.empty()) out += separator;
    out += text;
  }
  return out;
}

}  // namespace keles::quota
