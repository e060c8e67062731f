// Programs `kubectl-NAME` on PATH, which are commands by the name of NAME.
#pragma once

#include "kubectl/command.h"

namespace keles::kubectl {

// The program for words that name no command, the longest name first ("kubectl-a-b" for "a b"; a
// '-' in a word is a '_' there), of at least `least` words: takes this process's place. Returns
// when there is none, with an error when a flag stands where the name should.
Status run_plugin(const Args& args, size_t least);

}  // namespace keles::kubectl
