// Helpers of the node's tests.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "api/core_v1.h"
#include "machinery/codec_json.h"

namespace keles::node {

// A Pod from JSON; aborts on text that is none.
inline Ref<api::core_v1::Pod> pod_from(std::string_view json) {
  auto doc = parse_json(json);
  if (!doc.ok()) std::abort();
  return Ref<api::core_v1::Pod>(std::make_shared<const Document>(std::move(*doc)));
}

}  // namespace keles::node
