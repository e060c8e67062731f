// Notes in a Secret when the service account token in it was used (the label
// kubernetes.io/legacy-token-last-used, a day): what the cleaner of old tokens goes by (KEP-2799).
#pragma once

#include <mutex>
#include <vector>

#include "base/context.h"
#include "base/notice.h"
#include "base/task.h"
#include "server/auth/auth.h"
#include "server/registry/registry.h"

namespace keles::server {

class TokenUses {
 public:
  // Any thread. A token is used again: what there is no room for now is noted then.
  void note(auth::LegacyTokenUse use);
  // Writes what is noted, until ctx ends. Spawn it once.
  Task<void> run(Context ctx, registry::Registry* registry);

 private:
  static constexpr size_t kMost = 1024;
  std::vector<auth::LegacyTokenUse> take();
  Notice notice_;
  std::mutex mutex_;
  std::vector<auth::LegacyTokenUse> waiting_;
};

}  // namespace keles::server
