// Catalog: the kinds that are served at a time. Immutable: who reads one keeps it, and with it
// every custom kind in it; a change is another catalog. The CatalogSource says which one holds now.
//
// The built-in kinds (find_kind, all_kinds in schema.h) are in each. Code that means one fixed
// built-in kind looks it up there; code that gets a kind's name from a request, a record or a
// reference, or that goes through all kinds, asks a catalog.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/notice.h"
#include "machinery/schema.h"

namespace keles {

class Catalog;
using CatalogPtr = std::shared_ptr<const Catalog>;

class Catalog {
 public:
  // The built-in kinds, and these. `generation` rises with each that is published.
  Catalog(int64_t generation, std::vector<KindRef> custom);

  // Null when there is none. find_kind also finds built-in lists and bodies without a resource.
  const KindDesc* find_kind(std::string_view group, std::string_view version,
                            std::string_view kind) const;
  const KindDesc* find_kind(std::string_view api_version, std::string_view kind) const;
  const KindDesc* find_resource(std::string_view group, std::string_view version,
                                std::string_view plural) const;
  // Those with a resource, by group, version and plural.
  std::span<const KindDesc* const> kinds() const { return by_resource_; }
  std::span<const KindRef> custom() const { return custom_; }  // likewise
  bool serves_group(std::string_view group) const;
  int64_t generation() const { return generation_; }

 private:
  int64_t generation_;
  std::vector<KindRef> custom_;
  std::vector<const KindDesc*> by_resource_;
  std::vector<const KindDesc*> custom_by_kind_;
};

// The built-in kinds alone, generation 0.
const CatalogPtr& builtin_catalog();

// What is served now, and who is told when that changes. Thread-safe.
class CatalogSource {
 public:
  CatalogSource() : current_(builtin_catalog()) {}
  CatalogSource(const CatalogSource&) = delete;

  CatalogPtr current() const { return current_.load(); }
  // Publishes these besides the built-in ones; readers see it when it returns. One caller at a
  // time.
  void publish(std::vector<KindRef> custom);
  Notice& changed() { return changed_; }

 private:
  std::atomic<CatalogPtr> current_;
  Notice changed_;
};

}  // namespace keles
