// The storage driver of a simulated cluster: what a CSI driver's provisioner and attacher do for
// it, written against Client. Volumes are made for claims that ask for kStorageDriver, attachments
// are reported as made, and both go when they are to.
#pragma once

#include <memory>

#include "client/client.h"
#include "sim/part.h"

namespace keles::sim {

inline constexpr const char* kStorageDriver = "driver.sim.example.com";

std::unique_ptr<Part> make_storage_driver(Client& client);

}  // namespace keles::sim
