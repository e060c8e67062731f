// The form of a cron schedule: five fields, or a name such as @hourly.
#pragma once

#include <string>
#include <string_view>

namespace keles::registry {

// What is wrong with a schedule; "" when it is well formed.
std::string check_cron_schedule(std::string_view schedule);

}  // namespace keles::registry
