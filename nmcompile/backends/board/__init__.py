"""Programs on boards of Loihi 1 by way of register images, and on a virtual board."""
