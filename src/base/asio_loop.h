// The Boost.Asio context beneath a RealLoop: for the .cc files of net/ and of others that wait on
// file descriptors. A simulated loop has none, and asking for it throws std::bad_cast.
#pragma once

#include <boost/asio/io_context.hpp>

#include "base/loop.h"

namespace keles {
boost::asio::io_context& asio_context(Loop& loop);
}
