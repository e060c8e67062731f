// What the tables of volumes and claims share.
#pragma once

#include <string>

#include "machinery/value.h"

namespace keles::registry {

std::string volume_phase_text(const Value& object);
std::string volume_class_text(const Value& object);

}  // namespace keles::registry
