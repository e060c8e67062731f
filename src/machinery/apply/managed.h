// metadata.managedFields taken apart and put together: who manages which fields, by which
// operation, since when. KEP-555.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/apply/path_set.h"
#include "machinery/value.h"

namespace keles::apply {

// One entry. Who applies is one manager in all versions; who updates is one in each.
struct Manager {
  std::string_view name, api_version, subresource;
  std::string_view time;  // RFC 3339; "" when none is known
  bool applied = false;
  PathSet set = nullptr;
  // The text that `set` was made of, as long as it is the same set.
  std::string_view text = {};
  PathSet parsed = nullptr;
  const Value* open = nullptr;  // what `text` was made of, where the list had it as a tree

  bool same_identity(const Manager& o) const {
    return applied == o.applied && name == o.name && subresource == o.subresource &&
           (applied || api_version == o.api_version);
  }
  // Sorts as upstream sorts them where it goes by identities; JSON.
  std::string identity() const;
};

// "x" using apps/v1; "x" with subresource "status" using v1; "x" of one who applied.
std::string print_manager(const Manager& m);

class Managers {
 public:
  explicit Managers(Arena& arena) : arena_(&arena) {}
  // Fails with upstream's texts: operation must be `Apply` or `Update`. What is decoded views the
  // list, which must outlive it; sets live as long as any copy of the managers.
  static Result<Managers> decode(Arena& arena, const Value& list);
  // The list, sorted, in `out`; null when there are none. `as_text`: fieldsV1 as trees of built-in
  // kinds have it (machinery/raw_text.h).
  Value encode(Arena& out, bool as_text);

  Arena& arena() const { return *arena_; }
  std::vector<Manager>& all() { return all_; }
  const std::vector<Manager>& all() const { return all_; }
  bool empty() const { return all_.empty(); }
  Manager* find(const Manager& identity);
  // The entry of that identity, made when absent.
  Manager& of(const Manager& identity);
  void drop_empty();
  // Merges the oldest of those who update, until `most` are left (upstream: ancient-changes).
  void cap_updates(size_t most);

 private:
  Arena* arena_;
  std::vector<Manager> all_;
  std::vector<std::shared_ptr<const ParsedSet>> held_;  // what decoded sets live in
};

inline constexpr size_t kMaxUpdateManagers = 10;

// What upstream validates of a list, as field errors under `path`: metadata.managedFields.
std::vector<StatusCause> check_managed_fields(const Value& list, const std::string& path);
// The same of one name: at most 128 bytes, every character printable.
std::vector<StatusCause> check_field_manager(std::string_view name, const std::string& path);
// The manager of a request that names none: its User-Agent up to the first "/".
std::string manager_of_agent(std::string_view user_agent);

// The list as entries of a subresource that holds one field of the object (scale), and back
// again: who does not hold it any more below `now` has lost it, who is new there gets it.
struct FieldOfSubresource {
  std::string_view parent_version;        // of the object that is written: "apps/v1"
  std::string_view inner_version, inner;  // "autoscaling/v1", "spec.replicas"
  // Where the field lies in objects of a version; "": they do not have it; nothing: it is not
  // served, and who manages in it is forgotten.
  std::function<std::optional<std::string_view>(std::string_view api_version)> path_in;
};
Value managed_in_subresource(Arena& out, const Value& parent, const FieldOfSubresource& f);
Value managed_in_parent(Arena& out, const Value& parent, const Value& now,
                        const FieldOfSubresource& f, bool as_text);

}  // namespace keles::apply
