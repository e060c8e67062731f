// What an autoscaler scales: an object of any kind that has a scale, read and scaled by its kind's
// description (custom kinds: by their definition).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/task.h"
#include "client/client.h"

namespace keles::controllers::hpa {

struct Scale {
  KindRef kind;
  std::string ns, name, uid, resource_version;
  int64_t wanted = 0, observed = 0;
  std::string selector;  // as text; "": it has none
};

// Its numbers, of an object of a kind with a scale.
Scale read_scale(const KindDesc& kind, const Object& object);

// The errors are those of a client that asks for the subresource.
Task<Result<Scale>> get_scale(Context ctx, Client* client, std::string api_version,
                              std::string kind, std::string ns, std::string name);
// Retried while others write the object meanwhile.
Task<Status> set_scale(Context ctx, Client* client, Scale scale, int64_t replicas);

// "deployments.apps" of a kind by its group and name, whatever the version; "" when nobody serves
// it.
std::string resource_of(Client* client, std::string_view api_version, std::string_view kind);

}  // namespace keles::controllers::hpa
