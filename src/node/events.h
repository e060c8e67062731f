// Events that the node agent reports. An interface of one call, so that tests can collect them; the
// agent hands them to the client's recorder.
#pragma once

#include <string>

#include "api/core_v1.h"
#include "machinery/value.h"

namespace keles::node {

class Events {
 public:
  virtual ~Events() = default;
  // About a pod; `container` is the container's name ("" = the pod itself) and gives the fieldPath.
  // `type` is "Normal" or "Warning". Never waits.
  virtual void pod(const Ref<api::core_v1::Pod>& pod, std::string container, std::string type,
                   std::string reason, std::string message) = 0;
  virtual void volume(const Ref<api::core_v1::PersistentVolume>& volume, std::string type,
                      std::string reason, std::string message) = 0;
  virtual void node(std::string type, std::string reason, std::string message) = 0;
};

}  // namespace keles::node
