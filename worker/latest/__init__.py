"""The version that the worker feeds, named in this folder alone: what it may use of it is stated in its `feed`."""

from v1.feed import *
