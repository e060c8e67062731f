// The static check: every name found, every call matched to its overloads, every expression given
// its type. Source: the CEL language definition, "Gradual Type Checking".
#pragma once

#include "cel/ast.h"
#include "cel/env.h"
#include "cel/source.h"

namespace keles::cel {

// Writes types and overloads into the tree; `issues` stays empty when all is well.
void check(Ast& ast, const Source& source, const Env& env, Issues& issues);

// What Kubernetes looks at beyond the types: literals of durations, timestamps, patterns and
// formats, and literal lists and maps of mixed types. Of a tree that was checked.
void validate(Ast& ast, const Source& source, Issues& issues);

}  // namespace keles::cel
