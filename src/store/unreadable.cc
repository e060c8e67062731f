#include "store/unreadable.h"

#include <string>
#include <vector>

namespace keles {

Status unreadable_in(const StoreSnapshot& snapshot, std::string_view prefix,
                     std::string_view name) {
  auto found = snapshot.unreadable(prefix);
  if (!name.empty()) {
    std::erase_if(found, [name](const UnreadableRecord& r) {
      std::string_view key = r.key;
      return !key.ends_with(name) || !key.substr(0, key.size() - name.size()).ends_with('/');
    });
  }
  if (found.empty()) return Status();
  std::string keys;
  for (size_t i = 0; i < found.size() && i < 10; ++i)
    keys += (i ? ", " : "") + found[i].key + " (" + found[i].reason + ")";
  return Status::internal(
      std::to_string(found.size()) + " stored object(s) cannot be read: " + keys +
      ". Restore them from a backup, or delete each by its name with the delete option "
      "ignoreStoreReadErrorWithClusterBreakingPotential=true");
}

Status scan_whole(const StoreSnapshot& snapshot, std::string_view prefix,
                  const std::function<bool(std::string_view, const ObjectPtr&)>& fn) {
  TRY(unreadable_in(snapshot, prefix));
  snapshot.scan(prefix, prefix, fn);
  return Status();
}

}  // namespace keles
