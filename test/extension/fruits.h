// Fruits: the objects of the extension server, in memory, and the events that watchers are sent.
// One loop's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/sync.h"
#include "machinery/value.h"

namespace keles::extension {

class Fruits {
 public:
  struct Event {
    int64_t revision;
    std::string ns, json;  // a line of a watch
  };

  // Each answers with the object's JSON, or fails as an API server does. `ns` "" in list(): all.
  Result<std::string> get(const std::string& ns, const std::string& name) const;
  std::string list(const std::string& ns) const;
  Result<std::string> create(const std::string& ns, const std::string& body, WallTime now,
                             Random& random);
  Result<std::string> update(const std::string& ns, const std::string& name,
                             const std::string& body);
  Result<std::string> remove(const std::string& ns, const std::string& name);
  std::string remove_all(const std::string& ns);

  int64_t revision() const { return revision_; }
  // What happened after `revision`; empty when nothing has yet.
  std::vector<Event> since(int64_t revision) const;
  Task<Status> wait(Context ctx) { return changed_.wait(ctx); }

 private:
  std::string store(const std::string& ns, const std::string& name, Document d, const char* type);

  std::map<std::pair<std::string, std::string>, std::string> objects_;
  std::deque<Event> events_;  // the last thousand
  int64_t revision_ = 1;
  WaitList changed_;
};

}  // namespace keles::extension
