// LocalClient: a Client whose calls are function calls into an ApiServer of the same process. It
// shares the server's immutable objects; nothing is encoded. The identity it is made with is
// authorized on every call, but for trusted ones and system:masters.
//
// A custom kind is found by its names, as over HTTPS: calls go on when its definition has changed.
//
// Belongs to one loop; the server outlives it.
#pragma once

#include <memory>

#include "client/client.h"
#include "server/server.h"

namespace keles {

// `annotations`: what admission says of writes to those who audit them; it outlives the client's
// calls. Null: nobody audits.
std::unique_ptr<Client> make_local_client(ApiServer& server, Loop& loop, Caller caller,
                                          admission::AuditAnnotations* annotations = nullptr);

// As one of the server's own components ("system:kube-scheduler"), without authorization.
std::unique_ptr<Client> make_local_client(ApiServer& server, Loop& loop, std::string name,
                                          admission::AuditAnnotations* annotations = nullptr);

}  // namespace keles
