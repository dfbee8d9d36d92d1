"""Reviews: what people say of results. A sign-off holds until a later result crosses a threshold."""
