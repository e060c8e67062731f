#include "machinery/catalog.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "machinery/name_memo.h"

namespace keles {
namespace {

using Key = std::tuple<std::string_view, std::string_view, std::string_view>;

Key by_kind(const KindDesc& k) { return {k.group, k.version, k.kind}; }
Key by_resource(const KindDesc& k) { return {k.group, k.version, k.plural}; }

using Order = Key (*)(const KindDesc&);

const KindDesc* search(std::span<const KindDesc* const> sorted, const Key& key, Order order) {
  auto at = std::lower_bound(sorted.begin(), sorted.end(), key,
                             [&](const KindDesc* k, const Key& b) { return order(*k) < b; });
  return at != sorted.end() && order(**at) == key ? *at : nullptr;
}

}  // namespace

Catalog::Catalog(int64_t generation, std::vector<KindRef> custom)
    : generation_(generation), custom_(std::move(custom)) {
  std::sort(custom_.begin(), custom_.end(),
            [](const KindRef& a, const KindRef& b) { return by_resource(*a) < by_resource(*b); });
  for (const KindRef& k : custom_) custom_by_kind_.push_back(k.get());
  const auto built_in = all_kinds();
  by_resource_.resize(built_in.size() + custom_.size());
  std::merge(built_in.begin(), built_in.end(), custom_by_kind_.begin(), custom_by_kind_.end(),
             by_resource_.begin(), [](const KindDesc* a, const KindDesc* b) {
               return by_resource(*a) < by_resource(*b);
             });
  std::sort(custom_by_kind_.begin(), custom_by_kind_.end(),
            [](const KindDesc* a, const KindDesc* b) { return by_kind(*a) < by_kind(*b); });
}

const KindDesc* Catalog::find_kind(std::string_view group, std::string_view version,
                                   std::string_view kind) const {
  if (const KindDesc* k = keles::find_kind(group, version, kind)) return k;
  return search(custom_by_kind_, {group, version, kind}, by_kind);
}

const KindDesc* Catalog::find_kind(std::string_view api_version, std::string_view kind) const {
  const size_t slash = api_version.find('/');
  if (slash == api_version.npos) return find_kind("", api_version, kind);
  return find_kind(api_version.substr(0, slash), api_version.substr(slash + 1), kind);
}

const KindDesc* Catalog::find_resource(std::string_view group, std::string_view version,
                                       std::string_view plural) const {
  static thread_local NameMemo found;
  uint16_t& last = found.of(this, plural);
  const Key key{group, version, plural};
  if (last < by_resource_.size() && by_resource(*by_resource_[last]) == key) {
    return by_resource_[last];
  }
  auto at = std::lower_bound(by_resource_.begin(), by_resource_.end(), key,
                             [](const KindDesc* k, const Key& b) { return by_resource(*k) < b; });
  if (at == by_resource_.end() || by_resource(**at) != key) return nullptr;
  // More kinds than that are not remembered.
  if (const size_t place = at - by_resource_.begin(); place <= UINT16_MAX) {
    last = static_cast<uint16_t>(place);
  }
  return *at;
}

bool Catalog::serves_group(std::string_view group) const {
  auto at = std::lower_bound(by_resource_.begin(), by_resource_.end(), group,
                             [](const KindDesc* k, std::string_view g) { return k->group < g; });
  return at != by_resource_.end() && (*at)->group == group;
}

const CatalogPtr& builtin_catalog() {
  static const CatalogPtr only = std::make_shared<const Catalog>(0, std::vector<KindRef>());
  return only;
}

void CatalogSource::publish(std::vector<KindRef> custom) {
  const int64_t next = current_.load()->generation() + 1;
  current_.store(std::make_shared<const Catalog>(next, std::move(custom)));
  changed_.tell();
}

}  // namespace keles
