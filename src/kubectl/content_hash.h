// The suffix that --append-hash gives to a ConfigMap's or Secret's name, as upstream's kubectl and
// kustomize compute it. Pure.
#pragma once

#include <string>

#include "machinery/value.h"

namespace keles::kubectl {

// From its kind, name and data: ten letters and digits without vowels.
std::string content_hash(const Value& object);

}  // namespace keles::kubectl
