#include "machinery/schema.h"

#include <algorithm>
#include <tuple>

#include "kinds.h"
#include "machinery/kind_facts.h"
#include "machinery/name_memo.h"
#include "machinery/value.h"

namespace keles {

std::string_view EnumDesc::name_of(int32_t number) const {
  for (const EnumValue& v : values) {
    if (v.number == number) return v.name;
  }
  return {};
}

int32_t EnumDesc::number_of(std::string_view name) const {
  for (const EnumValue& v : values) {
    if (v.name == name) return v.number;
  }
  return 0;
}

int TypeDesc::index_of(std::string_view json_name) const {
  static thread_local NameMemo found;
  uint16_t& last = found.of(this, json_name);
  if (last < fields.size() && fields[last].name == json_name) return last;
  auto at = std::lower_bound(by_name.begin(), by_name.end(), json_name,
                             [this](uint16_t i, std::string_view n) { return fields[i].name < n; });
  if (at == by_name.end() || fields[*at].name != json_name) return -1;
  return last = *at;
}

const FieldDesc* TypeDesc::find(std::string_view json_name) const {
  int i = index_of(json_name);
  return i < 0 ? nullptr : &fields[i];
}

const FieldDesc* TypeDesc::find_number(uint16_t number) const {
  auto at = std::lower_bound(wire.begin(), wire.end(), number,
                             [](const WireEntry& e, uint16_t n) { return e.number < n; });
  return at != wire.end() && at->number == number && at->field >= 0 ? &fields[at->field] : nullptr;
}

const TypeDesc* TypeRef::made() const {
  return kind_ && kind_->owner ? &kind_->owner->type_of(*kind_) : nullptr;
}

void hold_kind(Arena& arena, const KindDesc& kind) {
  if (!kind.owner || arena.holds(kind.owner)) return;
  kind.owner->retain();
  arena.adopt(std::shared_ptr<const void>(
      static_cast<const void*>(kind.owner),
      [](const void* owner) { static_cast<const KindOwner*>(owner)->release(); }));
}

const SubresourceDesc* KindDesc::subresource(std::string_view name) const {
  for (const SubresourceDesc& s : subresources) {
    if (s.name == name) return &s;
  }
  return nullptr;
}

namespace {
using Key = std::tuple<std::string_view, std::string_view, std::string_view>;

template <class Get>
const KindDesc* search(std::span<const KindDesc* const> sorted, const Key& key, uint16_t& last,
                       Get get) {
  if (last < sorted.size() && get(*sorted[last]) == key) return sorted[last];
  auto at = std::lower_bound(sorted.begin(), sorted.end(), key,
                             [&](const KindDesc* k, const Key& b) { return get(*k) < b; });
  if (at == sorted.end() || get(**at) != key) return nullptr;
  last = static_cast<uint16_t>(at - sorted.begin());
  return *at;
}
}  // namespace

const KindDesc* find_kind(std::string_view group, std::string_view version, std::string_view kind) {
  static thread_local NameMemo found;
  return search(tables::kinds_by_name, {group, version, kind}, found.of(nullptr, kind),
                [](const KindDesc& k) {
                  return Key{k.group, k.version, k.kind};
                });
}

const KindDesc* find_kind(std::string_view api_version, std::string_view kind) {
  auto slash = api_version.find('/');
  if (slash == std::string_view::npos) return find_kind("", api_version, kind);
  return find_kind(api_version.substr(0, slash), api_version.substr(slash + 1), kind);
}

const KindDesc* find_resource(std::string_view group, std::string_view version,
                              std::string_view plural) {
  static thread_local NameMemo found;
  return search(tables::kinds_served, {group, version, plural}, found.of(nullptr, plural),
                [](const KindDesc& k) {
                  return Key{k.group, k.version, k.plural};
                });
}

const TypeDesc* find_type(std::string_view name) {
  auto sorted = tables::types_by_name;
  auto at = std::lower_bound(sorted.begin(), sorted.end(), name,
                             [](const TypeDesc* t, std::string_view n) { return t->name < n; });
  return at != sorted.end() && (*at)->name == name ? *at : nullptr;
}

std::span<const GroupVersionFacts> all_group_versions() { return tables::group_versions; }

const GroupVersionFacts* find_group_version(std::string_view group, std::string_view version) {
  for (const GroupVersionFacts& g : tables::group_versions) {
    if (g.group == group && g.version == version) return &g;
  }
  return nullptr;
}

std::span<const KindDesc* const> all_kinds() { return tables::kinds_served; }

}  // namespace keles
