// Expectations: what a controller has asked for and has not yet seen in its informers. While a
// key's expectations are open, its reconcile must not create or delete more: the cache is stale.
//
// Recorded before the first write; settled by the informer's events, by a write that failed for
// certain, or by time (5 minutes, for events that never come). One loop's thread.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/loop.h"

namespace keles {

class Expectations {
 public:
  explicit Expectations(Loop& loop, Duration expiry = 5min) : loop_(loop), expiry_(expiry) {}

  // `n` objects are about to be created for the key.
  void expect_creations(const std::string& key, int n);
  // The objects with these uids are about to be deleted.
  void expect_deletions(const std::string& key, const std::vector<std::string>& uids);
  // Seen, or failed for certain.
  void creation_settled(const std::string& key, int n = 1);
  void deletion_settled(const std::string& key, const std::string& uid);
  // Whether the key may act: nothing is open, or it has been open for too long.
  bool satisfied(const std::string& key) const;
  // How long until satisfied() holds by time alone; 0 when it holds now.
  Duration remaining(const std::string& key) const;
  void forget(const std::string& key) { keys_.erase(key); }

 private:
  struct Open {
    int creations = 0;
    std::set<std::string> deletions;
    TimePoint since;
  };
  Open& open(const std::string& key);
  void drop_if_empty(std::map<std::string, Open>::iterator it);
  Loop& loop_;
  Duration expiry_;
  std::map<std::string, Open> keys_;
};

}  // namespace keles
