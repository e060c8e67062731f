// Whether what an APIService names can be reached: its condition Available, with upstream's reasons
// and messages. Pure; any thread.
#pragma once

#include <optional>
#include <string>

#include "machinery/value.h"
#include "server/aggregation/api_service.h"
#include "store/store.h"

namespace keles::aggregation {

struct Availability {
  std::string status, reason, message;
  bool yes() const { return status == "True"; }
};

// What the cluster's objects tell: that there is no such service, or nobody behind it. Nothing: it
// is to be asked (discovery_check()).
std::optional<Availability> judge(const StoreSnapshot& snapshot, const ApiService& service);
// After it was asked for its discovery document: "" when it answered with one.
Availability discovery_check(const std::string& failure);

// The object with that condition; nothing when it says so already.
std::optional<Document> with_availability(const Value& object, const Availability& a, WallTime now);

}  // namespace keles::aggregation
