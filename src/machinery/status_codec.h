// Status as the API's meta/v1 Status object, and back.
#pragma once

#include "base/status.h"
#include "machinery/value.h"

namespace keles {

// {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",...}. An OK status becomes
// "Success".
Document status_to_document(const Status& s);
std::string status_to_json(const Status& s);
// OK when the object says "Success". `http_code` decides when the object has no code.
Status status_from_value(const Value& v, int http_code = 500);
// The body of an error response: a Status in JSON or protobuf, or any text.
Status status_from_body(std::string_view body, int http_code);

}  // namespace keles
