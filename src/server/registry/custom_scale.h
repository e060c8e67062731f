// The subresource scale of custom resources: its numbers lie where the definition says (KEP: CRD
// subresources). Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "machinery/custom_kind.h"
#include "machinery/validation.h"

namespace keles::registry {

struct ScaleNumbers {
  bool said = false;  // the object says how many are wanted
  int64_t replicas = 0, observed = 0;
  std::string selector;
};
// Fails where something else than a number, or a text, lies there.
Result<ScaleNumbers> read_scale(const CustomKinds::Scale& scale, const Value& object);
Status write_scale(const CustomKinds::Scale& scale, Document& object, int64_t replicas);

// What is wrong with the wanted number, and with what the status says.
void validate_scale_spec(const CustomKinds::Scale& scale, const Value& object, FieldErrors& errors);
void validate_scale_status(const CustomKinds::Scale& scale, const Value& object,
                           FieldErrors& errors);

}  // namespace keles::registry
