// How log lines are written (log.h): as klog does, or each as one JSON object, as upstream's
// components do with --logging-format=json.
#pragma once

#include <string_view>

#include "base/status.h"

namespace keles::log {

enum class Format : uint8_t { kText, kJson };
// Of the whole process, from now on. Any thread.
void set_format(Format format);
// "text", "json"; kBadRequest names the flag and what it takes.
Status set_format(std::string_view name);

}  // namespace keles::log
