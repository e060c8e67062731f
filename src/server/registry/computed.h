// What makes the objects of a kind of which nothing is stored (`computed` in its description): each
// read makes them anew. The registry selects, tables and encodes them as it does stored ones.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/object.h"

namespace keles::registry {

class ComputedSource {
 public:
  virtual ~ComputedSource() = default;
  // Those of namespace `ns` ("": of all), in the order of namespace and name; with a `name`, that
  // one or none. Called on any loop, and resumes on the caller's; ends by ctx.
  virtual Task<Result<std::vector<ObjectPtr>>> objects(Context ctx, const KindDesc* kind,
                                                       std::string ns, std::string name) = 0;
};

}  // namespace keles::registry
