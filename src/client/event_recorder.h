// EventRecorder: core/v1 Events about objects, as `kubectl describe` shows them.
//
// event() never waits and never fails: it queues at most 1,000 events and drops what is beyond. One
// task writes them. Repetition is counted (the same event is one object whose `count` grows by a
// patch), similar events beyond ten in ten minutes are combined, and one source's events about one
// object are limited to a burst of 25 and one more every five minutes, as upstream's recorder does
// (k8s.io/client-go/tools/record). One loop's thread. join() before it is destroyed.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/sync.h"
#include "client/client.h"

namespace keles {

struct ObjectReference {
  std::string api_version, kind, ns, name, uid, resource_version, field_path;
};

// A reference to a whole object, or to a part of it ("spec.containers{web}").
ObjectReference reference_to(const Object& object, std::string_view field_path = {});
// From a tree that carries its apiVersion and kind.
ObjectReference reference_to(const Value& root, const KindDesc& kind,
                             std::string_view field_path = {});
template <class T>
ObjectReference reference_to(const Ref<T>& object, std::string_view field_path = {}) {
  return reference_to(object->value(), kind_of<T>(), field_path);
}

class EventRecorder {
 public:
  EventRecorder(Client& client, std::string component, std::string host = {});
  ~EventRecorder();
  // Starts writing; ends when ctx does (what is queued then is dropped).
  void start(Context ctx);
  Task<void> join();

  void normal(const ObjectReference& about, std::string_view reason, std::string message) {
    event(about, "Normal", reason, std::move(message));
  }
  void warning(const ObjectReference& about, std::string_view reason, std::string message) {
    event(about, "Warning", reason, std::move(message));
  }
  void event(const ObjectReference& about, std::string_view type, std::string_view reason,
             std::string message);
  uint64_t dropped() const { return dropped_; }

 private:
  struct Pending {
    ObjectReference about;
    std::string type, reason, message;
    WallTime when;
  };
  struct Seen {  // one Event object that we wrote
    std::string name;
    int64_t count = 0;
    WallTime first;
  };
  struct Similar {  // events that differ in their message only
    std::set<std::string> messages;
    WallTime last;
  };
  struct Bucket {
    double tokens = 25;
    TimePoint last;
  };
  // A map of bounded size that forgets what was used longest ago.
  template <class T>
  class Recent {
   public:
    T* find(const std::string& key);
    T& get_or_add(const std::string& key);

   private:
    struct Entry {
      T value;
      uint64_t used = 0;
    };
    std::map<std::string, Entry> entries_;
    std::map<uint64_t, std::string> by_use_;
    uint64_t clock_ = 0;
  };

  Task<void> run(Context ctx);
  Task<void> write(Context ctx, Pending p, std::string key);
  Task<Status> create(Context ctx, const Pending* p, Seen* seen);
  Task<Status> bump(Context ctx, const Pending* p, Seen* seen);
  bool allowed(const ObjectReference& about);

  Client& client_;
  std::string component_, host_;
  Channel<Pending> queue_{1000};
  TaskGroup group_;
  Recent<Seen> seen_;
  Recent<Similar> similar_;
  Recent<Bucket> buckets_;
  uint64_t dropped_ = 0;
  int64_t last_name_ = 0;
};

}  // namespace keles
