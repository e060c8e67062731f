// One object from any of the API's encodings to another: the form that the input has is recognised.
// Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

enum class OutputForm : uint8_t { kJson, kYaml, kProtobuf };
Result<OutputForm> output_form(std::string_view name);  // "json", "yaml", "protobuf"

struct AnyObject {
  const KindDesc* kind = nullptr;
  Document doc;
};
// A built-in object in protobuf, JSON or YAML; unknown fields are an error.
Result<AnyObject> read_any_object(std::string_view input);

// JSON as `kubectl get -o json` lays it out (indented, no final newline).
Result<std::string> convert(std::string_view input, OutputForm form);

}  // namespace keles
