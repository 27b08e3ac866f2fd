/** Objects of a query are told apart by colour, in the drawing as in the pictures; the stylesheet has `colour-0` and on. */
export const COLOURS = 6;
