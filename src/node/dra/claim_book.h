// The ResourceClaims that were prepared on this node, for which pods, and what their drivers said;
// kept in the file dra_manager_state as upstream keeps it (pkg/kubelet/cm/dra/state). Pure but for
// that file.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"

namespace keles::node {

struct ClaimedDevice {
  std::string pool, name;
  std::optional<std::string> share_id;
  std::vector<std::string> requests;  // none: of every request
  std::vector<std::string> cdi_ids;
  bool serves(const std::string& request) const;  // "" is every request
};

struct PreparedClaim {
  std::string uid, name, ns;
  std::set<std::string> pods;                                 // uids
  std::map<std::string, std::vector<ClaimedDevice>> drivers;  // also those that were not asked yet
  bool prepared = false;  // by this agent: one that was started anew asks the drivers again
  std::vector<std::string> cdi_ids(const std::string& request) const;
};

class ClaimBook {
 public:
  static Result<ClaimBook> open(const std::string& directory);
  static Result<ClaimBook> parse(const std::string& text);
  std::string text() const;

  PreparedClaim* find(const std::string& ns, const std::string& name);
  const PreparedClaim* find(const std::string& ns, const std::string& name) const;
  PreparedClaim& put(PreparedClaim claim);
  void remove(const std::string& ns, const std::string& name);
  const std::map<std::string, PreparedClaim>& all() const { return claims_; }  // by "ns/name"
  bool has_pod(const std::string& uid) const;
  Status save() const;

 private:
  std::string path_;
  std::map<std::string, PreparedClaim> claims_;
};

}  // namespace keles::node
