// IntOrString values: "25%" of a total, and port numbers or names. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/value.h"

namespace keles {

// An int is taken as it is; "25%" is that part of `total`, rounded as asked. Anything else is an
// error.
Result<int64_t> scaled_int_or_percent(const Value& v, int64_t total, bool round_up);

// The percentage of a text of digits and '%'; -1 when it is not one.
int64_t parse_percent(std::string_view text);

// "8080" or "http": how an IntOrString is shown.
std::string int_or_string_text(const Value& v);

}  // namespace keles
