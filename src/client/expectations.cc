#include "client/expectations.h"

#include <algorithm>

namespace keles {

Expectations::Open& Expectations::open(const std::string& key) {
  auto [it, fresh] = keys_.try_emplace(key);
  if (!fresh && satisfied(key)) it->second = Open();  // expired: start anew
  it->second.since = loop_.now();
  return it->second;
}

void Expectations::expect_creations(const std::string& key, int n) {
  if (n > 0) open(key).creations += n;
}

void Expectations::expect_deletions(const std::string& key, const std::vector<std::string>& uids) {
  if (uids.empty()) return;
  Open& o = open(key);
  o.deletions.insert(uids.begin(), uids.end());
}

void Expectations::drop_if_empty(std::map<std::string, Open>::iterator it) {
  if (it->second.creations <= 0 && it->second.deletions.empty()) keys_.erase(it);
}

void Expectations::creation_settled(const std::string& key, int n) {
  auto it = keys_.find(key);
  if (it == keys_.end()) return;
  it->second.creations = std::max(0, it->second.creations - n);
  drop_if_empty(it);
}

void Expectations::deletion_settled(const std::string& key, const std::string& uid) {
  auto it = keys_.find(key);
  if (it == keys_.end()) return;
  it->second.deletions.erase(uid);
  drop_if_empty(it);
}

bool Expectations::satisfied(const std::string& key) const {
  auto it = keys_.find(key);
  if (it == keys_.end()) return true;
  if (it->second.creations <= 0 && it->second.deletions.empty()) return true;
  return loop_.now() - it->second.since > expiry_;
}

Duration Expectations::remaining(const std::string& key) const {
  if (satisfied(key)) return Duration(0);
  return keys_.at(key).since + expiry_ - loop_.now() + 1ms;
}

}  // namespace keles
