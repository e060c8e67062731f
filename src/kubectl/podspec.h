// Where an object keeps its pod: told by its shape, so that any kind with a pod template serves.
#pragma once

#include <string>

#include "machinery/value.h"

namespace keles::kubectl {

// "spec", "spec.template.spec", "spec.jobTemplate.spec.template.spec"; "" when there is none.
inline std::string pod_spec_path(const Value& o) {
  const Value& spec = o["spec"];
  if (spec["containers"].is_list()) return "spec";
  if (spec["template"]["spec"]["containers"].is_list()) return "spec.template.spec";
  if (spec["jobTemplate"]["spec"]["template"]["spec"]["containers"].is_list()) {
    return "spec.jobTemplate.spec.template.spec";
  }
  return "";
}

inline const Value& pod_spec(const Value& o) {
  const Value& spec = o["spec"];
  if (spec["containers"].is_list()) return spec;
  if (spec["template"]["spec"]["containers"].is_list()) return spec["template"]["spec"];
  return spec["jobTemplate"]["spec"]["template"]["spec"];
}

}  // namespace keles::kubectl
