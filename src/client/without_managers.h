// Objects on their way to who lists and watches, without metadata.managedFields: who manages which
// field is nobody's question there, and more than the rest of many an object. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace keles {

// An encoded object, the message in its envelope, without them. What is no message, or has none,
// is as it came: who decodes it says what is wrong.
std::string without_managers(std::string_view object);

}  // namespace keles
