// Nothing is accepted in silence: who sets what nothing acts on is told so.
#pragma once

#include "server/registry/registry.h"

namespace keles::registry {

// Adds to how.warnings what of `object` is stored and no more (machinery/inert.h), each text once.
// Components of the system are told nothing: they only write on what users have asked for. Neither
// is anybody of a write that changes nothing that counts: `changes` is asked once there is
// something to be told.
void warn_of_inert(const KindDesc& kind, const Value& object, const WriteRequest& how,
                   const std::function<bool()>& changes);

}  // namespace keles::registry
