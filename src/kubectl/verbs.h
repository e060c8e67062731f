// One file per verb. Each takes the arguments behind the verb's name.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::kubectl {

using Args = std::vector<std::string>;

Task<Status> apply(Context ctx, Args args);
Task<Status> remove(Context ctx, Args args);  // delete
Task<Status> get(Context ctx, Args args);
Task<Status> wait(Context ctx, Args args);

struct Verb {
  const char* name;
  const char* help;
  Task<Status> (*run)(Context, Args);
};
// In the order of the help text; ends with a null name.
extern const Verb kVerbs[];

std::string usage();

}  // namespace keles::kubectl
