// To what a pod without spread constraints of its own belongs: the selectors of the services that
// select it and of its ReplicationController, ReplicaSet or StatefulSet. Extracts, followed by
// informers. One loop's thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "client/informer.h"
#include "machinery/labels.h"
#include "scheduler/types.h"

namespace keles::scheduler {

class SpreadDefaults {
 public:
  explicit SpreadDefaults(InformerFactory& informers);
  // Everything: it belongs to nothing.
  Selector of(const PodInfo& pod) const;

 private:
  using ByName = std::map<std::string, Selector, std::less<>>;
  using ByNamespace = std::map<std::string, ByName, std::less<>>;
  template <class T, class Read>
  void follow(InformerFactory& informers, ByNamespace& into, Read read);
  ByNamespace services_, controllers_, replica_sets_, stateful_sets_;
};

}  // namespace keles::scheduler
