// Writing the slices of a service as they were planned: one mechanism for those made from pods and
// those that mirror Endpoints.
#pragma once

#include <string>
#include <vector>

#include "api/discovery_v1.h"
#include "client/client.h"
#include "client/expectations.h"

namespace keles::controllers {

struct SlicePlan {
  std::vector<Draft<api::discovery_v1::EndpointSliceEdit>> create, update;
  std::vector<Ref<api::discovery_v1::EndpointSlice>> remove;
  size_t added = 0, removed = 0;  // endpoints
};

class SliceWriter {
 public:
  // `subsystem`: of the metrics PREFIX_changes, PREFIX_endpoints_added_per_sync and so on.
  SliceWriter(Client& client, Expectations& expectations, std::string_view subsystem);

  // Updates, creates, then removes. A slice that is made is expected under the key until an
  // informer has seen it; what has gone already is no error. That the namespace is ending: as if
  // all were done.
  Task<Status> write(Context ctx, std::string key, SlicePlan* plan);

 private:
  struct Metrics;
  Client& client_;
  Expectations& expectations_;
  const Metrics& metrics_;
};

}  // namespace keles::controllers
